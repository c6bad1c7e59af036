/*
 * The HTML tokenizer: the bytes of its tokens are the input, and the tokens are the same however
 * the input is cut. The first byte says in which state to begin and how to cut.
 */
#include <stdint.h>
#include <stdlib.h>

#include "../tokenize.h"
#include "html/references.h"
#include "html/tokenizer.h"

enum { SMALL_HELD_BYTES = 64, LIMIT_BYTES = 1 << 24 };

struct record { // what of the tokens must not depend on the cuts
    struct buffer kinds, bytes;
    int last;
};

static void note(void *owner, const struct token *token)
{
    struct record *record = owner;
    bool joins =
        token->kind == TOKEN_TEXT || token->kind == TOKEN_COMMENT || token->kind == TOKEN_RAW;
    int kind = token->kind == TOKEN_TEXT ? 16 + (int)token->state : (int)token->kind;

    if (!buffer_append(&record->bytes, token->bytes))
        abort();
    if (token->bytes.size == 0 && token->kind != TOKEN_COMMENT)
        abort();
    if (joins && record->last == kind && !(token->kind == TOKEN_COMMENT && token->is_first))
        return;
    record->last = kind;
    if (!buffer_printf(&record->kinds, "%d@%zu ", kind, record->bytes.size - token->bytes.size))
        abort();
    if (token->kind != TOKEN_START_TAG && token->kind != TOKEN_END_TAG)
        return;
    if (!buffer_printf(&record->kinds, "%llx%c", (unsigned long long)token->key,
                       token->is_self_closing ? '/' : ' '))
        abort();
    for (size_t i = 0; i < token->attribute_count; i++) {
        struct buffer value = { .limit_bytes = LIMIT_BYTES };
        struct span raw = token_attribute_value(token, i);
        if (!references_decode(&value, raw, REFERENCES_IN_ATTRIBUTE))
            abort();
        if (value.size > 3 * raw.size ||
            (!references_needed(raw) && !span_equal(raw, buffer_span(&value))))
            abort();
        buffer_release(&value);
        if (!buffer_printf(&record->kinds, "%u,%u,%u,%u ", token->attributes[i].name_at,
                           token->attributes[i].name_size, token->attributes[i].value_at,
                           token->attributes[i].value_size))
            abort();
    }
}

static void run_through(struct span input, unsigned flags, unsigned cut, struct record *record)
{
    static const struct {
        enum tokenizer_state state;
        const char *name;
    } states[] = {
        { TOKENIZER_DATA, "" },         { TOKENIZER_RCDATA, "title" },
        { TOKENIZER_RAWTEXT, "style" }, { TOKENIZER_SCRIPT, "script" },
        { TOKENIZER_CDATA, "" },        { TOKENIZER_PLAINTEXT, "" },
    };
    static struct tokenizer tokenizer;
    size_t state = flags % 8 < 6 ? flags % 8 : 0;

    tokenizer_init(&tokenizer);
    tokenizer.cdata_is_allowed = flags & 8;
    if (flags & 16)
        tokenizer.held_limit = SMALL_HELD_BYTES;
    tokenizer_set_state(&tokenizer, states[state].state, span_text(states[state].name));
    *record = (struct record){ { .limit_bytes = LIMIT_BYTES }, { .limit_bytes = LIMIT_BYTES }, -1 };
    tokenize(&tokenizer, input, cut, note, record);
    if (tokenizer.held_most > tokenizer.held_limit)
        abort();
    tokenizer_done(&tokenizer);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct record records[3];
    struct span input;

    if (size < 1)
        return 0;
    input = span_of((const char *)bytes + 1, size - 1);
    run_through(input, bytes[0], 0, &records[0]);
    run_through(input, bytes[0], 1, &records[1]);
    run_through(input, bytes[0], 2 + bytes[0] % 12, &records[2]);
    for (int i = 0; i < 3; i++) {
        if (!span_equal(buffer_span(&records[i].bytes), input))
            abort();
        if (!span_equal(buffer_span(&records[i].kinds), buffer_span(&records[0].kinds)))
            abort();
    }
    for (int i = 0; i < 3; i++) {
        buffer_release(&records[i].bytes);
        buffer_release(&records[i].kinds);
    }
    return 0;
}
