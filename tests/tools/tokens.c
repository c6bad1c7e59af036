/*
 * tokens.c - prints the tokens of a document as JSON, as html5lib's tokenizer tests write them.
 *
 *     tokens [--state STATE] [--last TAG] [--chunk N|random:SEED] < in.html
 *
 * STATE is a name from the tests ("Data state", "RCDATA state" ...). What the library's tokenizer
 * leaves undone on purpose is done here: letter case, references, line ends, double attributes.
 */
#include <stdio.h>
#include <stdlib.h>

#include "html/doctype.h"
#include "html/references.h"
#include "html/tokenizer.h"

static struct buffer text = { .limit_bytes = 1 << 28 };    // of the characters not yet printed
static struct buffer comment = { .limit_bytes = 1 << 28 }; // raw, with its marks
static enum tokenizer_state text_state;
static bool any;

static void print_string(struct span bytes)
{
    putchar('"');
    for (size_t i = 0; i < bytes.size; i++) {
        unsigned char c = (unsigned char)bytes.at[i];
        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static void begin(const char *kind)
{
    printf("%s[\"%s\"", any ? "," : "[", kind);
    any = true;
}

/* Lower case, line ends, NUL as U+FFFD. */
static void print_plain(struct span raw, bool lower, bool replace_nul)
{
    struct buffer out = { .limit_bytes = 1 << 28 };
    for (size_t i = 0; i < raw.size; i++) {
        char c = raw.at[i];
        bool fits;
        if (c == '\r') {
            i += i + 1 < raw.size && raw.at[i + 1] == '\n';
            fits = buffer_append(&out, SPAN("\n"));
        } else if (c == '\0' && replace_nul) {
            fits = buffer_append(&out, SPAN("\xef\xbf\xbd"));
        } else {
            c = lower ? ascii_lower(c) : c;
            fits = buffer_append(&out, span_of(&c, 1));
        }
        if (!fits)
            abort();
    }
    print_string(buffer_span(&out));
    buffer_release(&out);
}

static void print_decoded(struct span raw, enum references_where where)
{
    struct buffer out = { .limit_bytes = 1 << 28 };
    if (!references_decode(&out, raw, where))
        abort();
    print_string(buffer_span(&out));
    buffer_release(&out);
}

static void end_text(void)
{
    if (text.size == 0)
        return;
    begin("Character");
    putchar(',');
    if (text_state == TOKENIZER_DATA) {
        print_decoded(buffer_span(&text), REFERENCES_IN_TEXT);
    } else if (text_state == TOKENIZER_RCDATA) { // NUL differs, so it is decoded in an attribute
        struct buffer out = { .limit_bytes = 1 << 28 };
        if (!references_decode(&out, buffer_span(&text), REFERENCES_IN_TEXT))
            abort();
        print_plain(buffer_span(&out), false, true);
        buffer_release(&out);
    } else {
        print_plain(buffer_span(&text), false, text_state != TOKENIZER_CDATA);
    }
    putchar(']');
    text.size = 0;
}

static void print_attributes(const struct token *token)
{
    bool first = true;

    printf(",{");
    for (size_t i = 0; i < token->attribute_count; i++) {
        struct span name = token_attribute_name(token, i);
        bool is_double = false;
        for (size_t j = 0; j < i && !is_double; j++)
            is_double = span_equal_nocase(token_attribute_name(token, j), name);
        if (is_double)
            continue;
        if (!first)
            putchar(',');
        first = false;
        print_plain(name, true, true);
        putchar(':');
        print_decoded(token_attribute_value(token, i), REFERENCES_IN_ATTRIBUTE);
    }
    putchar('}');
}

static void print_comment(void)
{
    struct span raw = buffer_span(&comment);

    if (span_starts(raw, SPAN("<!--"))) {
        raw = span_from(raw, 4);
        if (span_equal(raw, SPAN(">")) || span_equal(raw, SPAN("->")))
            raw.size = 0;
        else if (span_ends(raw, SPAN("-->")))
            raw.size -= 3;
        else if (span_ends(raw, SPAN("--!>")))
            raw.size -= 4;
        else if (span_ends(raw, SPAN("--!")))
            raw.size -= 3;
        else if (span_ends(raw, SPAN("--")))
            raw.size -= 2;
        else if (span_ends(raw, SPAN("-")))
            raw.size -= 1;
    } else {
        raw = span_from(raw, raw.size > 1 && raw.at[1] == '?' ? 1 : 2);
        if (span_ends(raw, SPAN(">")))
            raw.size--;
    }
    begin("Comment");
    putchar(',');
    print_plain(raw, false, true);
    putchar(']');
    comment.size = 0;
}

static void print_identifier(bool is_there, struct span identifier)
{
    putchar(',');
    if (is_there)
        print_plain(identifier, false, true);
    else
        printf("null");
}

static void print_doctype(struct span raw)
{
    struct doctype doctype;

    doctype_read(raw, &doctype);
    begin("DOCTYPE");
    putchar(',');
    if (doctype.name.size)
        print_plain(doctype.name, true, true);
    else
        printf("null");
    print_identifier(doctype.has_public_id, doctype.public_id);
    print_identifier(doctype.has_system_id, doctype.system_id);
    printf(",%s]", doctype.is_correct ? "true" : "false");
}

static void print_token(const struct token *token)
{
    if (token->kind == TOKEN_TEXT) {
        if (token->state != text_state)
            end_text();
        text_state = token->state;
        if (!buffer_append(&text, token->bytes))
            abort();
        return;
    }
    if (token->kind == TOKEN_MARK || token->kind == TOKEN_PARTIAL)
        return;
    end_text();
    switch (token->kind) {
    case TOKEN_START_TAG:
    case TOKEN_END_TAG:
        begin(token->kind == TOKEN_START_TAG ? "StartTag" : "EndTag");
        putchar(',');
        print_plain(token->name, true, true);
        if (token->kind == TOKEN_START_TAG) {
            print_attributes(token);
            if (token->is_self_closing)
                printf(",true");
        }
        putchar(']');
        break;
    case TOKEN_COMMENT:
        if (!buffer_append(&comment, token->bytes))
            abort();
        if (token->is_last)
            print_comment();
        break;
    case TOKEN_DOCTYPE:
        print_doctype(token->bytes);
        break;
    default:
        break;
    }
}

static enum tokenizer_state state_named(const char *name)
{
    static const char *const names[] = {
        [TOKENIZER_DATA] = "Data state",           [TOKENIZER_RCDATA] = "RCDATA state",
        [TOKENIZER_RAWTEXT] = "RAWTEXT state",     [TOKENIZER_SCRIPT] = "Script data state",
        [TOKENIZER_PLAINTEXT] = "PLAINTEXT state", [TOKENIZER_CDATA] = "CDATA section state",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0)
            return (enum tokenizer_state)i;
    fprintf(stderr, "tokens: no state is named %s\n", name);
    exit(2);
}

static size_t next_size(const char *chunk, size_t left, uint64_t *random)
{
    uint64_t size;

    if (strncmp(chunk, "random", 6) == 0) {
        *random = *random * 6364136223846793005 + 1442695040888963407;
        size = (*random >> 33) % 64 + 1;
    } else if (!span_to_u64(span_text(chunk), &size) || size == 0) {
        size = left;
    }
    return size < left ? (size_t)size : left;
}

int main(int argc, char **argv)
{
    static struct tokenizer tokenizer;
    const char *state = "Data state", *last = "", *chunk = "whole";
    struct buffer input = { .limit_bytes = 1 << 28 };
    struct token token;
    char bytes[4096];
    uint64_t random = 1;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--state") == 0)
            state = argv[i + 1];
        else if (strcmp(argv[i], "--last") == 0)
            last = argv[i + 1];
        else if (strcmp(argv[i], "--chunk") == 0)
            chunk = argv[i + 1];
    }
    if (strncmp(chunk, "random:", 7) == 0)
        (void)span_to_u64(span_text(chunk + 7), &random);
    for (size_t size; (size = fread(bytes, 1, sizeof bytes, stdin)) > 0;)
        if (!buffer_append(&input, span_of(bytes, size)))
            abort();

    tokenizer_init(&tokenizer);
    tokenizer.cdata_is_allowed = strncmp(state, "CDATA", 5) == 0;
    tokenizer_set_state(&tokenizer, state_named(state), span_text(last));
    for (size_t at = 0, size; at < input.size; at += size) {
        char *piece;
        size = next_size(chunk, input.size - at, &random);
        piece = malloc(size); // of its own, so that a sanitizer sees a step outside
        if (!piece)
            abort();
        memcpy(piece, input.at + at, size);
        tokenizer_feed(&tokenizer, span_of(piece, size));
        while (tokenizer_next(&tokenizer, &token))
            print_token(&token);
        free(piece);
    }
    tokenizer_finish(&tokenizer);
    while (tokenizer_next(&tokenizer, &token))
        print_token(&token);
    end_text();
    printf("%s]\n", any ? "" : "[");
    tokenizer_done(&tokenizer);
    buffer_release(&input);
    buffer_release(&text);
    buffer_release(&comment);
    return 0;
}
