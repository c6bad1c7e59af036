/*
 * tokenizer.h - cuts HTML, as it streams, into tokens that are views of its bytes.
 *
 * The states of HTML's tokenizer (section 13.2.5) as far as they decide where a token ends. What
 * the bytes of a token mean (references, line ends, letter case) is read from them on demand,
 * by references.h and the functions below. All tokens' bytes, joined, are the input, however it
 * was cut. Text and comments come in pieces as they arrive; a tag or doctype comes whole: its
 * beginning is held when the input ends inside it. One that does not end within `held_limit`
 * bytes makes the tokenizer give up: all from there on is TOKEN_RAW.
 *
 * Knows no tree: who does tells it, after a start tag, in which state to go on, and whether a
 * CDATA section may begin here. Lives inside its owner.
 *
 *     tokenizer_feed() -> tokenizer_next() until false -> tokenizer_feed() -> ...
 *                                            tokenizer_finish() -> tokenizer_next() until false
 */
#ifndef DEJUNK_HTML_TOKENIZER_H
#define DEJUNK_HTML_TOKENIZER_H

#include "html/scan.h"
#include "html/tag.h"

enum { TOKENIZER_HELD_LIMIT_BYTES = 1 << 20, TOKENIZER_ATTRIBUTES = 1024 };

enum tokenizer_state {
    TOKENIZER_DATA,
    TOKENIZER_RCDATA,
    TOKENIZER_RAWTEXT,
    TOKENIZER_SCRIPT,
    TOKENIZER_PLAINTEXT,
    TOKENIZER_CDATA
};

enum token_kind {
    TOKEN_TEXT,
    TOKEN_START_TAG,
    TOKEN_END_TAG,
    TOKEN_COMMENT, // a piece of one
    TOKEN_DOCTYPE,
    TOKEN_MARK,    // bytes without meaning: "</>", the brackets of a CDATA section
    TOKEN_PARTIAL, // a tag that the end of the input cut off
    TOKEN_RAW      // anything: the tokenizer gave up
};

struct attribute { // offsets from the tag's '<'
    uint32_t name_at, name_size;
    uint32_t value_at, value_size; // without quotes; value_at is 0 where there is no '='
};

struct token {
    enum token_kind kind;
    enum tokenizer_state state; // in which a text was read
    struct span bytes;          // as are all spans: good until the next call of tokenizer_next()
    bool is_first, is_last;     // of a comment's pieces

    struct span name; // of tags, from here on
    uint64_t key;
    enum tag tag;
    bool is_self_closing, attributes_were_cut;
    const struct attribute *attributes; // TOKENIZER_ATTRIBUTES at most, double ones too
    size_t attribute_count;
};

struct tokenizer {         // tokenizer.c only, all but the first four
    size_t held_limit;     // set by tokenizer_init(); may be lowered before the first byte
    bool cdata_is_allowed; // kept up to date by the owner: the current node is foreign
    size_t held_most;      // read only: the most that was ever held
    union {
        struct {
            bool gave_up;    // read only
            uint8_t state;   // enum tokenizer_state
            uint8_t inside;  // a comment?
            uint8_t holding; // what the held bytes are
            bool drop_held;
        };
        uint64_t is_elsewhere; // 0: none of them, as for nearly every token; asked for each
    };

    const char *at, *end;
    uint64_t raw_key; // whose end tag ends RCDATA, RAWTEXT, SCRIPT
    size_t raw_size;
    uint8_t comment;  // how much of its end was seen
    uint8_t escape;   // script: normal, escaped, double escaped
    uint8_t dashes;   // script: how many just came
    uint8_t tag_step; // where in a held tag
    bool is_finished;
    struct buffer held;
    struct attribute attributes[TOKENIZER_ATTRIBUTES];
};

void tokenizer_init(struct tokenizer *tokenizer);
void tokenizer_done(struct tokenizer *tokenizer);

/* Lends it bytes: they must stay until tokenizer_next() has answered false. */
void tokenizer_feed(struct tokenizer *tokenizer, struct span bytes);
/* No more will come. tokenizer_next() gives what was held. */
void tokenizer_finish(struct tokenizer *tokenizer);
/* Whatever tokenizer_next() does not do at once; tokenizer.c. */
bool tokenizer_next_elsewhere(struct tokenizer *tokenizer, struct token *token);
bool tokenizer_next_opened(struct tokenizer *tokenizer, struct token *token);

/* The next token; false: feed me. */
static inline bool tokenizer_next(struct tokenizer *tokenizer, struct token *token)
{
    const char *at = tokenizer->at;

    if (__builtin_expect(tokenizer->is_elsewhere != 0, 0) || at == tokenizer->end)
        return tokenizer_next_elsewhere(tokenizer, token);
    if (*at == '<')
        return tokenizer_next_opened(tokenizer, token);
    tokenizer->at = scan_to_byte(at, tokenizer->end, '<');
    token->kind = TOKEN_TEXT;
    token->state = TOKENIZER_DATA;
    token->bytes = span_of(at, (size_t)(tokenizer->at - at));
    return true;
}

/* How to read on. For RCDATA, RAWTEXT and SCRIPT, `name` is the element's. */
void tokenizer_set_state(struct tokenizer *tokenizer, enum tokenizer_state state, struct span name);
/* All from the next byte on is TOKEN_RAW; held bytes come first. */
void tokenizer_give_up(struct tokenizer *tokenizer);

/* The bytes that came and were not given out as tokens, because their token is not whole. */
static inline size_t tokenizer_held(const struct tokenizer *tokenizer)
{
    return tokenizer->drop_held ? 0 : tokenizer->held.size;
}

static inline struct span token_attribute_name(const struct token *token, size_t index)
{
    const struct attribute *attribute = &token->attributes[index];
    return span_slice(token->bytes, attribute->name_at, attribute->name_size);
}

/* As written: references are not replaced (references.h). */
static inline struct span token_attribute_value(const struct token *token, size_t index)
{
    const struct attribute *attribute = &token->attributes[index];
    return span_slice(token->bytes, attribute->value_at, attribute->value_size);
}

/* The first attribute of that name, which is in lower case; false when there is none. */
bool token_find_attribute(const struct token *token, struct span name, size_t *index);

#endif
