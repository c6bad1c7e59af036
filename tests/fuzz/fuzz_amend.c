/*
 * fuzz_amend.c - what rules do to URLs, cookies and fields: values and texts, both made up.
 *
 * The first byte says which, what follows up to a line end is the rule's value, the rest the URL.
 * What comes out of removing is a part of what went in; what is skipped to is a web address.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "filter/amend.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Are the bytes of `part` among those of `whole`, in their order? */
static bool is_part(struct span part, struct span whole)
{
    size_t i = 0;

    for (size_t k = 0; k < whole.size && i < part.size; k++)
        i += part.at[i] == whole.at[k];
    return i == part.size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct amender *amender;
    struct directive directive = { .rule = 1 };
    struct buffer out = { 0 };
    struct span rest, value;

    if (size < 2)
        return 0;
    if (!amender)
        amender = amender_new();
    rest = span_of((const char *)data + 1, size - 1);
    value = span_slice(rest, 0, span_find_byte(rest, '\n'));
    rest = span_from(rest, value.size + (value.size < rest.size));
    directive.value = value;
    switch (data[0] % 5) {
    case 0:
    case 1:
        directive.kind = data[0] % 5 ? DIRECTIVE_URITRANSFORM : DIRECTIVE_REMOVEPARAM;
        if (amend_url(amender, rest, &directive, 1, &out)) {
            assert(!span_equal(rest, buffer_span(&out)));
            if (directive.kind == DIRECTIVE_REMOVEPARAM)
                assert(is_part(buffer_span(&out), rest));
        }
        break;
    case 2:
        if (amend_skip(amender, rest, value, size % 2, &out))
            assert(span_starts_nocase(buffer_span(&out), SPAN("http")));
        break;
    case 3:
        amend_names_cookie(amender, value, rest);
        amend_cookie_change(value);
        amend_cookie_is_good(value);
        break;
    case 4: {
        struct header_removal removal = amend_header_removal(value);
        if (removal.expression.at)
            amend_matches(amender, removal.expression, rest);
        break;
    }
    }
    buffer_release(&out);
    return 0;
}
