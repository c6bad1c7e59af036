#include "html/tokenizer.h"

#include "html/scan.h"

#include <assert.h>

enum { OUTSIDE, COMMENT, BOGUS_COMMENT }; // inside
enum {
    COMMENT_OPENED,
    COMMENT_OPENED_DASH,
    COMMENT_TEXT,
    COMMENT_DASH,
    COMMENT_DASHES,
    COMMENT_BANG
};
enum { SCRIPT_PLAIN, SCRIPT_ESCAPED, SCRIPT_DOUBLE_ESCAPED };
enum { HOLDING_NOTHING, HOLDING_OPENER, HOLDING_TAG, HOLDING_DOCTYPE };
enum {
    TAG_NAME,
    BEFORE_ATTRIBUTE,
    ATTRIBUTE_NAME,
    AFTER_ATTRIBUTE_NAME,
    BEFORE_VALUE,
    DOUBLE_QUOTED,
    SINGLE_QUOTED,
    UNQUOTED,
    AFTER_QUOTED,
    SELF_CLOSING
};

/* What begins at a '<'. */
enum opener {
    OPENER_UNDECIDED, // needs more bytes
    OPENER_TEXT,
    OPENER_TAG,
    OPENER_COMMENT,
    OPENER_BOGUS,
    OPENER_DOCTYPE,
    OPENER_CDATA,
    OPENER_CDATA_END,
    OPENER_NOTHING, // "</>"
    OPENER_ESCAPE,  // script only, these three
    OPENER_DOUBLE_ESCAPE,
    OPENER_DOUBLE_ESCAPE_END
};

void tokenizer_init(struct tokenizer *tokenizer)
{
    memset(tokenizer, 0, offsetof(struct tokenizer, attributes));
    tokenizer->held_limit = TOKENIZER_HELD_LIMIT_BYTES;
    tokenizer->held.limit_bytes = TOKENIZER_HELD_LIMIT_BYTES;
}

void tokenizer_done(struct tokenizer *tokenizer)
{
    buffer_release(&tokenizer->held);
}

void tokenizer_feed(struct tokenizer *tokenizer, struct span bytes)
{
    assert(tokenizer->at == tokenizer->end && !tokenizer->is_finished);
    tokenizer->at = bytes.at;
    tokenizer->end = bytes.at + bytes.size;
}

void tokenizer_finish(struct tokenizer *tokenizer)
{
    assert(tokenizer->at == tokenizer->end);
    tokenizer->is_finished = true;
}

void tokenizer_set_state(struct tokenizer *tokenizer, enum tokenizer_state state, struct span name)
{
    tokenizer->state = (uint8_t)state;
    tokenizer->raw_key = tag_key(name);
    tokenizer->raw_size = name.size;
    tokenizer->escape = SCRIPT_PLAIN;
    tokenizer->dashes = 0;
}

void tokenizer_give_up(struct tokenizer *tokenizer)
{
    tokenizer->gave_up = true;
}

bool token_find_attribute(const struct token *token, struct span name, size_t *index)
{
    for (size_t i = 0; i < token->attribute_count; i++)
        if (token->attributes[i].name_size == name.size &&
            span_equal_nocase(token_attribute_name(token, i), name)) {
            *index = i;
            return true;
        }
    return false;
}

static bool give(struct token *token, enum token_kind kind, const char *at, const char *end)
{
    token->kind = kind;
    token->bytes = span_of(at, (size_t)(end - at));
    return true;
}

/* ---- tags ---- */

/* Walks a tag from inside; returns behind its '>', or `end` with *step where it stands. */
static const char *walk_tag(const char *at, const char *end, uint8_t *step, bool *ended)
{
    *ended = false;
    while (at < end) {
        char c = *at;

        switch (*step) {
        case DOUBLE_QUOTED:
        case SINGLE_QUOTED:
            at = scan_to_byte(at, end, *step == DOUBLE_QUOTED ? '"' : '\'');
            if (at == end)
                return end;
            *step = AFTER_QUOTED;
            at++;
            continue;
        case BEFORE_VALUE:
            if (c == '"')
                *step = DOUBLE_QUOTED;
            else if (c == '\'')
                *step = SINGLE_QUOTED;
            else if (!scan_is(c, SCAN_SPACE) && c != '>')
                *step = UNQUOTED;
            break;
        case UNQUOTED:
            if (scan_is(c, SCAN_SPACE))
                *step = BEFORE_ATTRIBUTE;
            break;
        case TAG_NAME:
            if (scan_is(c, SCAN_SPACE))
                *step = BEFORE_ATTRIBUTE;
            else if (c == '/')
                *step = SELF_CLOSING;
            break;
        case ATTRIBUTE_NAME:
        case AFTER_ATTRIBUTE_NAME:
            if (c == '=')
                *step = BEFORE_VALUE;
            else if (c == '/')
                *step = SELF_CLOSING;
            else
                *step = scan_is(c, SCAN_SPACE) ? AFTER_ATTRIBUTE_NAME : ATTRIBUTE_NAME;
            break;
        default: // BEFORE_ATTRIBUTE, AFTER_QUOTED, SELF_CLOSING
            if (scan_is(c, SCAN_SPACE))
                *step = BEFORE_ATTRIBUTE;
            else
                *step = c == '/' ? SELF_CLOSING : ATTRIBUTE_NAME;
            break;
        }
        at++;
        if (c == '>') {
            *ended = true;
            return at;
        }
    }
    return end;
}

/* An attribute's value, `at` being behind the '='. Returns behind it, NULL when it has no end. */
__attribute__((always_inline)) static inline const char *read_value(const char *tag, const char *at,
                                                                    const char *end,
                                                                    struct attribute *attribute)
{
    const char *stop;

    at = scan_spaces(at, end);
    if (at == end)
        return NULL;
    if (*at == '"' || *at == '\'') {
        stop = scan_to_byte(at + 1, end, *at);
        if (stop == end)
            return NULL;
        attribute->value_at = (uint32_t)(at + 1 - tag);
        attribute->value_size = (uint32_t)(stop - at - 1);
        return stop + 1;
    }
    stop = *at == '>' ? at : scan_to_class(at, end, SCAN_VALUE_END);
    attribute->value_at = (uint32_t)(at - tag);
    attribute->value_size = (uint32_t)(stop - at);
    return stop;
}

#ifdef __SSE2__
/* " name=\"value\"", as nearly all attributes are written. Returns behind it, NULL where it is
 * anything else, has a name of more than sixteen bytes or is at the end of the bytes. */
ALWAYS_INLINE const char *read_plain_attribute(const char *tag, const char *at, const char *end,
                                               struct attribute *attribute)
{
    const char *value, *close;
    unsigned mask;

    if (end - at < 32 || at[0] != ' ' || !scan_is(at[1], SCAN_LETTER))
        return NULL;
    mask = scan_class_mask(at + 1, SCAN_NAME_END) | 1U << 16;
    value = at + 1 + __builtin_ctz(mask) + 2;
    if (memcmp(value - 2, "=\"", 2) != 0)
        return NULL;
    close = scan_to_byte(value, end, '"');
    if (close == end)
        return NULL;
    attribute->name_at = (uint32_t)(at + 1 - tag);
    attribute->name_size = (uint32_t)(value - at - 3);
    attribute->value_at = (uint32_t)(value - tag);
    attribute->value_size = (uint32_t)(close - value);
    return close + 1;
}
#else
ALWAYS_INLINE const char *read_plain_attribute(const char *tag, const char *at, const char *end,
                                               struct attribute *attribute)
{
    (void)tag, (void)at, (void)end, (void)attribute;
    return NULL;
}
#endif

/* "</name>" of an element that we know: most end tags. Returns behind it, or NULL. */
static inline const char *read_end_tag(const struct tokenizer *tokenizer, const char *tag,
                                       const char *end, struct token *token)
{
    const uint64_t ones = 0x0101010101010101;
    uint64_t word, closes;
    size_t size;

    if (end - tag < 10 || tokenizer->held_limit < 10 || tag[1] != '/' ||
        !scan_is(tag[2], SCAN_LETTER))
        return NULL;
    memcpy(&word, tag + 2, sizeof word);
    closes = word ^ ones * '>';
    closes = (closes - ones) & ~closes & ones << 7; // the lowest bit is that of the first '>'
    size = closes ? (size_t)__builtin_ctzll(closes) / 8 : 0;
    if (size == 0 || tag[1 + size] == '\0')
        return NULL;
    token->key = tag_fold(word & tag_masks[size]);
    token->tag = tag_find(token->key);
    if (token->tag == TAG_OTHER)
        return NULL;
    token->kind = TOKEN_END_TAG;
    token->name = span_of(tag + 2, size);
    token->bytes = span_of(tag, size + 3);
    token->attributes = tokenizer->attributes;
    token->attribute_count = 0;
    token->is_self_closing = token->attributes_were_cut = false;
    return tag + size + 3;
}

/* A NUL in a name stands for U+FFFD. One inside is told by the key as it is, but at the end of a
 * short name it would not be. */
static __attribute__((noinline, cold)) uint64_t key_with_null(uint64_t key, size_t size)
{
    return key ^ (uint64_t)(0x80 | (size & 0x7f)) << 56;
}

/* The tag that begins at `tag`, all in one piece. Returns behind it, NULL when it has no end. */
ALWAYS_INLINE const char *read_tag(struct tokenizer *tokenizer, const char *tag, const char *end,
                                   struct token *token)
{
    const char *name = tag[1] == '/' ? tag + 2 : tag + 1;
    const char *at = scan_to_class(name, end, SCAN_TAG_NAME_END);
    struct span found = span_of(name, (size_t)(at - name));
    bool were_cut = false, is_self_closing = false;
    size_t count = 0;

    for (;;) {
        struct attribute *attribute;
        const char *behind;

        while (count < TOKENIZER_ATTRIBUTES &&
               (behind = read_plain_attribute(tag, at, end, &tokenizer->attributes[count]))) {
            at = behind;
            count++;
        }
        if (at < end && *at == '>') // nearly always
            break;
        at = scan_spaces(at, end);
        if (at == end)
            return NULL;
        if (*at == '>')
            break;
        if (*at == '/') {
            at++;
            if (at < end && *at == '>') {
                is_self_closing = true;
                break;
            }
            continue;
        }
        if (count == TOKENIZER_ATTRIBUTES) { // the last place takes those that are too many
            were_cut = true;
            count--;
        }
        attribute = &tokenizer->attributes[count++];
        attribute->name_at = (uint32_t)(at - tag);
        attribute->value_at = attribute->value_size = 0;
        at = scan_to_class(at + 1, end, SCAN_NAME_END);
        attribute->name_size = (uint32_t)(at - tag) - attribute->name_at;
        at = scan_spaces(at, end);
        if (at < end && *at == '=') {
            at = read_value(tag, at + 1, end, attribute);
            if (!at)
                return NULL;
        }
    }
    token->kind = tag[1] == '/' ? TOKEN_END_TAG : TOKEN_START_TAG;
    token->bytes = span_of(tag, (size_t)(at + 1 - tag));
    token->name = found;
    token->key = end - name >= 8 ? tag_key_fast(found) : tag_key(found);
    if (__builtin_expect(found.at[found.size - 1] == '\0', 0))
        token->key = key_with_null(token->key, found.size);
    token->tag = tag_find(token->key);
    token->is_self_closing = is_self_closing;
    token->attributes_were_cut = were_cut;
    token->attributes = tokenizer->attributes;
    token->attribute_count = count - were_cut;
    return at + 1;
}

/* The same where it need not be fast. */
static __attribute__((noinline)) const char *read_any_tag(struct tokenizer *tokenizer,
                                                          const char *tag, const char *end,
                                                          struct token *token)
{
    return read_tag(tokenizer, tag, end, token);
}

/* ---- what begins at a '<' ---- */

/* How much of `word` (in lower case) the bytes at `at` are; -1 when they are not. */
static int matches_word(const char *at, size_t size, struct span word)
{
    size_t i = 0;
    while (i < size && i < word.size && ascii_lower(at[i]) == word.at[i])
        i++;
    return i < size && i < word.size ? -1 : (int)i;
}

static enum opener opens_declaration(const struct tokenizer *tokenizer, const char *at, size_t size,
                                     size_t *used)
{
    static const struct {
        struct span word;
        enum opener opener;
    } words[] = {
        { { "<!--", 4 }, OPENER_COMMENT },
        { { "<!doctype", 9 }, OPENER_DOCTYPE },
        { { "<![cdata[", 9 }, OPENER_CDATA }, // in capitals, in fact
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        int matched = matches_word(at, size, words[i].word);
        if (words[i].opener == OPENER_CDATA) {
            if (!tokenizer->cdata_is_allowed)
                continue;
            for (int c = 3; c < matched; c++)
                if (at[c] >= 'a' && at[c] <= 'z')
                    matched = -1;
        }
        if (matched == (int)words[i].word.size) {
            *used = words[i].word.size;
            return words[i].opener;
        }
        if (matched >= 0)
            return OPENER_UNDECIDED;
    }
    *used = 2;
    return OPENER_BOGUS;
}

static enum opener opens_in_data(const struct tokenizer *tokenizer, const char *at, size_t size,
                                 size_t *used)
{
    *used = size;
    if (size < 2)
        return OPENER_UNDECIDED;
    if (scan_is(at[1], SCAN_LETTER))
        return OPENER_TAG;
    switch (at[1]) {
    case '!':
        return opens_declaration(tokenizer, at, size, used);
    case '?':
        *used = 1; // the question mark is the comment's first byte
        return OPENER_BOGUS;
    case '/':
        if (size < 3)
            return OPENER_UNDECIDED;
        if (scan_is(at[2], SCAN_LETTER))
            return OPENER_TAG;
        *used = at[2] == '>' ? 3 : 2;
        return at[2] == '>' ? OPENER_NOTHING : OPENER_BOGUS;
    default:
        *used = 1;
        return OPENER_TEXT;
    }
}

/* Is it "</" with the name that ends this raw text, and a byte that ends the name? */
static enum opener opens_end_tag(const struct tokenizer *tokenizer, const char *at, size_t size)
{
    size_t name_end = 2 + tokenizer->raw_size;

    if (tokenizer->raw_size == 0 || (size >= 2 && at[1] != '/'))
        return OPENER_TEXT;
    if (size <= name_end) { // cut off: it is compared when it is whole; it has letters only
        for (size_t i = 2; i < size; i++)
            if (!scan_is(at[i], SCAN_LETTER))
                return OPENER_TEXT;
        return OPENER_UNDECIDED;
    }
    if (scan_is(at[name_end], SCAN_TAG_NAME_END) &&
        tag_key(span_of(at + 2, tokenizer->raw_size)) == tokenizer->raw_key)
        return OPENER_TAG;
    return OPENER_TEXT;
}

static enum opener opens_in_script(const struct tokenizer *tokenizer, const char *at, size_t size,
                                   size_t *used)
{
    int matched;

    *used = 1;
    if (tokenizer->escape == SCRIPT_PLAIN) {
        matched = matches_word(at, size, SPAN("<!--"));
        if (matched >= 0 && matched < 4 && size > 1)
            return OPENER_UNDECIDED;
        if (matched == 4) {
            *used = 4;
            return OPENER_ESCAPE;
        }
    }
    if (tokenizer->escape == SCRIPT_ESCAPED) {
        matched = matches_word(at, size, SPAN("<script"));
        if (matched >= 0 && size <= 7 && size > 1)
            return OPENER_UNDECIDED;
        if (matched == 7 && scan_is(at[7], SCAN_TAG_NAME_END)) {
            *used = 7;
            return OPENER_DOUBLE_ESCAPE;
        }
    }
    if (tokenizer->escape == SCRIPT_DOUBLE_ESCAPED) {
        matched = matches_word(at, size, SPAN("</script"));
        if (matched >= 0 && size <= 8)
            return OPENER_UNDECIDED;
        *used = matched == 8 && scan_is(at[8], SCAN_TAG_NAME_END) ? 8 : 1;
        return *used == 8 ? OPENER_DOUBLE_ESCAPE_END : OPENER_TEXT;
    }
    return opens_end_tag(tokenizer, at, size);
}

/* What begins at `at`, a '<' (or a ']' in a CDATA section). *used: how many of the bytes belong
 * to it; where the answer is OPENER_TEXT, how many are surely text. */
static enum opener opens(const struct tokenizer *tokenizer, const char *at, size_t size,
                         size_t *used)
{
    *used = 1;
    switch ((enum tokenizer_state)tokenizer->state) {
    case TOKENIZER_DATA:
        return opens_in_data(tokenizer, at, size, used);
    case TOKENIZER_RCDATA:
    case TOKENIZER_RAWTEXT:
        return opens_end_tag(tokenizer, at, size);
    case TOKENIZER_SCRIPT:
        return opens_in_script(tokenizer, at, size, used);
    case TOKENIZER_CDATA:
        if (size < 3 && memcmp(at, "]]", size) == 0)
            return OPENER_UNDECIDED;
        if (size >= 3 && memcmp(at, "]]>", 3) == 0) {
            *used = 3;
            return OPENER_CDATA_END;
        }
        return OPENER_TEXT;
    case TOKENIZER_PLAINTEXT:
        break;
    }
    return OPENER_TEXT;
}

/* ---- holding ---- */

static bool give_raw(struct tokenizer *tokenizer, struct token *token)
{
    tokenizer->gave_up = true;
    if (tokenizer->held.size) {
        tokenizer->drop_held = true;
        return give(token, TOKEN_RAW, tokenizer->held.at,
                    tokenizer->held.at + tokenizer->held.size);
    }
    if (tokenizer->at == tokenizer->end)
        return false;
    give(token, TOKEN_RAW, tokenizer->at, tokenizer->end);
    tokenizer->at = tokenizer->end;
    return true;
}

/* Keeps the bytes from the window's next one to `end`. False: too many, and nothing is kept. */
static bool hold(struct tokenizer *tokenizer, const char *end)
{
    size_t size = (size_t)(end - tokenizer->at);

    if (size > tokenizer->held_limit - tokenizer->held.size)
        return false;
    if (!buffer_append(&tokenizer->held, span_of(tokenizer->at, size)))
        return false;
    tokenizer->at = end;
    if (tokenizer->held.size > tokenizer->held_most)
        tokenizer->held_most = tokenizer->held.size;
    return true;
}

/* Acts on what was found at `at`; `limit` is where the bytes known end. */
static bool open_token(struct tokenizer *tokenizer, enum opener opener, const char *at, size_t used,
                       struct token *token)
{
    token->is_first = true;
    token->is_last = false;
    switch (opener) {
    case OPENER_COMMENT:
        tokenizer->inside = COMMENT;
        tokenizer->comment = COMMENT_OPENED;
        return give(token, TOKEN_COMMENT, at, at + used);
    case OPENER_BOGUS:
        tokenizer->inside = BOGUS_COMMENT;
        return give(token, TOKEN_COMMENT, at, at + used);
    case OPENER_CDATA:
        tokenizer->state = TOKENIZER_CDATA;
        return give(token, TOKEN_MARK, at, at + used);
    case OPENER_CDATA_END:
        tokenizer->state = TOKENIZER_DATA;
        return give(token, TOKEN_MARK, at, at + used);
    case OPENER_NOTHING:
        return give(token, TOKEN_MARK, at, at + used);
    case OPENER_ESCAPE:
        tokenizer->escape = SCRIPT_ESCAPED;
        tokenizer->dashes = 2;
        break;
    case OPENER_DOUBLE_ESCAPE:
        tokenizer->escape = SCRIPT_DOUBLE_ESCAPED;
        tokenizer->dashes = 0;
        break;
    case OPENER_DOUBLE_ESCAPE_END:
        tokenizer->escape = SCRIPT_ESCAPED;
        tokenizer->dashes = 0;
        break;
    default:
        tokenizer->dashes = 0;
        break;
    }
    token->state = (enum tokenizer_state)tokenizer->state;
    return give(token, TOKEN_TEXT, at, at + used);
}

static bool next_held_opener(struct tokenizer *tokenizer, struct token *token)
{
    struct buffer *held = &tokenizer->held;

    while (tokenizer->at < tokenizer->end) {
        enum opener opener;
        size_t used;

        if (!hold(tokenizer, tokenizer->at + 1))
            return give_raw(tokenizer, token);
        opener = opens(tokenizer, held->at, held->size, &used);
        if (opener == OPENER_UNDECIDED)
            continue;
        if (opener == OPENER_TAG || opener == OPENER_DOCTYPE) {
            tokenizer->holding = opener == OPENER_TAG ? HOLDING_TAG : HOLDING_DOCTYPE;
            tokenizer->tag_step = TAG_NAME;
            if (opener == OPENER_TAG) {
                bool ended;
                size_t name = held->at[1] == '/' ? 2 : 1;
                walk_tag(held->at + name, held->at + held->size - 1, &tokenizer->tag_step, &ended);
                assert(!ended);
                tokenizer->at--; // the byte that decided is walked with the rest
                held->size--;
            }
            return tokenizer_next(tokenizer, token);
        }
        if (tokenizer->state == TOKENIZER_CDATA && opener == OPENER_TEXT &&
            memcmp(held->at, "]]]", held->size) == 0) {
            held->size--; // the last two may still be the end
            token->state = TOKENIZER_CDATA;
            return give(token, TOKEN_TEXT, "]", &"]"[1]);
        }
        // Whatever else it is, the newest byte may begin something of its own: all before it
        // belongs together, as a word's beginning has no '<' nor '>' inside.
        if (opener == OPENER_TEXT || used < held->size) {
            used = held->size - 1;
            tokenizer->at--;
        }
        tokenizer->drop_held = true;
        return open_token(tokenizer, opener, held->at, used, token);
    }
    return false;
}

static bool next_held_tag(struct tokenizer *tokenizer, struct token *token)
{
    const char *end = tokenizer->end;
    bool ended = false;

    if (tokenizer->holding == HOLDING_TAG) {
        end = walk_tag(tokenizer->at, end, &tokenizer->tag_step, &ended);
    } else {
        const char *close = scan_to_byte(tokenizer->at, end, '>');
        ended = close < end;
        end = close + ended;
    }
    if (!hold(tokenizer, end))
        return give_raw(tokenizer, token);
    if (!ended)
        return false;
    tokenizer->drop_held = true;
    end = tokenizer->held.at + tokenizer->held.size;
    if (tokenizer->holding == HOLDING_DOCTYPE)
        return give(token, TOKEN_DOCTYPE, tokenizer->held.at, end);
    tokenizer->state = TOKENIZER_DATA;
    end = read_any_tag(tokenizer, tokenizer->held.at, end, token);
    assert(end);
    return true;
}

/* The input has ended with bytes held, or inside a comment. */
static bool next_last(struct tokenizer *tokenizer, struct token *token)
{
    struct buffer *held = &tokenizer->held;

    token->is_first = true;
    token->is_last = true;
    if (held->size == 0) {
        if (tokenizer->inside == OUTSIDE)
            return false;
        tokenizer->inside = OUTSIDE;
        token->is_first = false;
        return give(token, TOKEN_COMMENT, tokenizer->at, tokenizer->at);
    }
    tokenizer->drop_held = true;
    token->state = (enum tokenizer_state)tokenizer->state;
    if (tokenizer->holding == HOLDING_TAG)
        token->kind = TOKEN_PARTIAL;
    else if (tokenizer->holding == HOLDING_DOCTYPE)
        token->kind = TOKEN_DOCTYPE;
    else if (tokenizer->state == TOKENIZER_DATA && held->size > 1 && held->at[1] == '!')
        token->kind = TOKEN_COMMENT;
    else
        token->kind = TOKEN_TEXT;
    return give(token, token->kind, held->at, held->at + held->size);
}

/* ---- from the window ---- */

/* The window's next byte is a '<' that may open something. */
static __attribute__((noinline)) bool next_opened(struct tokenizer *tokenizer, struct token *token)
{
    const char *at = tokenizer->at, *end = tokenizer->end, *stop;
    size_t used;
    enum opener opener;

    if ((size_t)(end - at) > tokenizer->held_limit)
        end = at + tokenizer->held_limit;
    opener = opens(tokenizer, at, (size_t)(end - at), &used);
    if (opener == OPENER_TAG) {
        stop = read_any_tag(tokenizer, at, end, token);
        if (stop) {
            tokenizer->at = stop;
            tokenizer->state = TOKENIZER_DATA;
            return true;
        }
        tokenizer->holding = HOLDING_TAG;
    } else if (opener == OPENER_DOCTYPE) {
        stop = scan_to_byte(at, end, '>');
        if (stop < end) {
            tokenizer->at = stop + 1;
            return give(token, TOKEN_DOCTYPE, at, stop + 1);
        }
        tokenizer->holding = HOLDING_DOCTYPE;
    } else if (opener == OPENER_UNDECIDED) {
        tokenizer->holding = HOLDING_OPENER;
    } else {
        tokenizer->at = at + used;
        return open_token(tokenizer, opener, at, used, token);
    }
    if (end < tokenizer->end || !hold(tokenizer, end))
        return give_raw(tokenizer, token);
    if (tokenizer->holding == HOLDING_TAG) {
        bool ended;
        tokenizer->tag_step = TAG_NAME;
        walk_tag(tokenizer->held.at + (tokenizer->held.at[1] == '/' ? 2 : 1),
                 tokenizer->held.at + tokenizer->held.size, &tokenizer->tag_step, &ended);
        assert(!ended);
    }
    return false;
}

/* Text up to the next byte that may open something. */
static bool next_text(struct tokenizer *tokenizer, struct token *token, char opener)
{
    const char *at = tokenizer->at, *stop = at;

    if (*at == opener)
        return next_opened(tokenizer, token);
    stop = scan_to_byte(at, tokenizer->end, opener);
    tokenizer->at = stop;
    token->state = (enum tokenizer_state)tokenizer->state;
    return give(token, TOKEN_TEXT, at, stop);
}

/* A script that has seen "<!--": "-->" ends that, and "<script" inside begins another. */
static bool next_escaped_script(struct tokenizer *tokenizer, struct token *token)
{
    const char *at = tokenizer->at, *stop = at;

    if (*at == '<')
        return next_opened(tokenizer, token);
    while (stop < tokenizer->end && *stop != '<' && tokenizer->escape != SCRIPT_PLAIN) {
        if (tokenizer->dashes == 0) {
            stop = scan_to_either(stop, tokenizer->end, '-', '<');
            if (stop == tokenizer->end || *stop == '<')
                break;
        }
        if (*stop == '-') {
            tokenizer->dashes = tokenizer->dashes ? 2 : 1;
        } else {
            if (*stop == '>' && tokenizer->dashes == 2)
                tokenizer->escape = SCRIPT_PLAIN;
            tokenizer->dashes = 0;
        }
        stop++;
    }
    tokenizer->at = stop;
    token->state = (enum tokenizer_state)tokenizer->state;
    return give(token, TOKEN_TEXT, at, stop);
}

static uint8_t comment_step(uint8_t step, char c, bool *ended)
{
    *ended = false;
    if (c == '>') {
        *ended = step != COMMENT_TEXT && step != COMMENT_DASH;
        return COMMENT_TEXT;
    }
    if (c == '-') {
        if (step == COMMENT_OPENED)
            return COMMENT_OPENED_DASH;
        if (step == COMMENT_TEXT || step == COMMENT_BANG)
            return COMMENT_DASH;
        return COMMENT_DASHES;
    }
    return c == '!' && step == COMMENT_DASHES ? COMMENT_BANG : COMMENT_TEXT;
}

static bool next_comment(struct tokenizer *tokenizer, struct token *token)
{
    const char *at = tokenizer->at, *stop = at, *end = tokenizer->end;
    bool ended = false;

    if (tokenizer->inside == BOGUS_COMMENT) {
        stop = scan_to_byte(at, end, '>');
        ended = stop < end;
        stop += ended;
    } else {
        while (stop < end && !ended) {
            if (tokenizer->comment == COMMENT_TEXT) {
                stop = scan_to_byte(stop, end, '-');
                if (stop == end)
                    break;
            }
            tokenizer->comment = comment_step(tokenizer->comment, *stop++, &ended);
        }
    }
    tokenizer->at = stop;
    token->is_first = false;
    token->is_last = ended;
    if (ended)
        tokenizer->inside = OUTSIDE;
    return give(token, TOKEN_COMMENT, at, stop);
}

/* A '<' in data, from the window. */
static __attribute__((noinline)) bool next_tag(struct tokenizer *tokenizer, struct token *token)
{
    const char *at = tokenizer->at, *end = tokenizer->end, *stop = NULL;

    if ((size_t)(end - at) > tokenizer->held_limit)
        end = at + tokenizer->held_limit;
    if (end - at > 2 && scan_is(at[at[1] == '/' ? 2 : 1], SCAN_LETTER))
        stop = read_tag(tokenizer, at, end, token);
    if (!stop)
        return next_opened(tokenizer, token);
    tokenizer->at = stop;
    return true;
}

/* End tags are by themselves, because most need no more than a few registers. */
bool tokenizer_next_opened(struct tokenizer *tokenizer, struct token *token)
{
    const char *stop = read_end_tag(tokenizer, tokenizer->at, tokenizer->end, token);

    if (!stop)
        return next_tag(tokenizer, token);
    tokenizer->at = stop;
    return true;
}

/* Where there is something to remember. */
bool tokenizer_next_elsewhere(struct tokenizer *tokenizer, struct token *token)
{
    if (tokenizer->drop_held) {
        tokenizer->drop_held = false;
        tokenizer->holding = HOLDING_NOTHING;
        tokenizer->held.size = 0;
    }
    if (tokenizer->gave_up)
        return give_raw(tokenizer, token);
    if (tokenizer->at == tokenizer->end)
        return tokenizer->is_finished && next_last(tokenizer, token);
    if (tokenizer->holding == HOLDING_OPENER)
        return next_held_opener(tokenizer, token);
    if (tokenizer->holding != HOLDING_NOTHING)
        return next_held_tag(tokenizer, token);
    if (tokenizer->inside != OUTSIDE)
        return next_comment(tokenizer, token);
    switch ((enum tokenizer_state)tokenizer->state) {
    case TOKENIZER_SCRIPT:
        if (tokenizer->escape != SCRIPT_PLAIN)
            return next_escaped_script(tokenizer, token);
        break;
    case TOKENIZER_CDATA:
        return next_text(tokenizer, token, ']');
    case TOKENIZER_PLAINTEXT:
        token->state = (enum tokenizer_state)tokenizer->state;
        give(token, TOKEN_TEXT, tokenizer->at, tokenizer->end);
        tokenizer->at = tokenizer->end;
        return true;
    default:
        break;
    }
    return next_text(tokenizer, token, '<');
}
