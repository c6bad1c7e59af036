#include "http/chunk.h"

#include "http/octets.h"

/* How long the quoted string at the front is; 0 when it does not end. */
static size_t quoted_run(struct span text)
{
    for (size_t i = 1; i < text.size; i++) {
        if (text.at[i] == '"')
            return i + 1;
        if (text.at[i] == '\\')
            i++;
    }
    return 0;
}

static struct span skip_blanks(struct span text)
{
    return span_from(text, octets_run(text, OCTET_BLANK));
}

/* *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] ), RFC 9112 section 7.1.1. */
static bool are_extensions(struct span text)
{
    while (text.size) {
        struct span value;
        size_t size;

        text = skip_blanks(text);
        if (text.size == 0 || text.at[0] != ';')
            return false;
        text = skip_blanks(span_from(text, 1));
        size = octets_run(text, OCTET_TOKEN);
        if (size == 0)
            return false;
        text = span_from(text, size);
        value = skip_blanks(text);
        if (value.size == 0 || value.at[0] != '=')
            continue;
        value = skip_blanks(span_from(value, 1));
        size =
            value.size && value.at[0] == '"' ? quoted_run(value) : octets_run(value, OCTET_TOKEN);
        if (size == 0)
            return false;
        text = span_from(value, size);
    }
    return true;
}

static uint64_t hex_value(char digit)
{
    return (uint64_t)(octet_is(digit, OCTET_DIGIT) ? digit - '0' : (digit | 0x20) - 'a' + 10);
}

bool chunk_line_parse(struct chunk_line *out, struct span line, struct refusal *why)
{
    size_t digits = octets_run(line, OCTET_HEX);
    struct span rest = span_from(line, digits);
    struct chunk_line parsed = { 0 };

    if (digits == 0)
        return refuse_syntax(why, "a chunk without a size");
    for (size_t i = 0; i < digits; i++) {
        if (parsed.size > INT64_MAX >> 4)
            return refuse(why, ERROR_LIMIT, 413, "a chunk is too large");
        parsed.size = parsed.size << 4 | hex_value(line.at[i]);
    }
    parsed.has_blanks = rest.size && octets_run(rest, OCTET_BLANK) == rest.size;
    if (!parsed.has_blanks && (!octets_are_text(rest) || !are_extensions(rest)))
        return refuse_syntax(why, "a chunk's size is followed by something else");
    *out = parsed;
    return true;
}
