/*
 * fuzz_edit.c - bodies and what rules do to them, both of them made up.
 *
 * The first byte says which of the three, what follows up to a NUL is the rule's value, the rest
 * the body. What comes out of pruning must be readable again.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "filter/edit.h"
#include "filter/json_tree.h"
#include "filter/xml_tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_json(struct span body)
{
    struct json_tree tree;

    assert(json_tree_read(&tree, body) == JSON_READ);
    json_tree_done(&tree);
}

static void check_xml(struct span body)
{
    struct xml_tree tree;

    assert(xml_tree_read(&tree, body) == XML_READ);
    xml_tree_done(&tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum directive_kind kinds[] = { DIRECTIVE_REPLACE, DIRECTIVE_JSONPRUNE,
                                                 DIRECTIVE_XMLPRUNE };
    static struct amender *amender;
    struct directive edit = { .rule = 1 };
    struct buffer out = { 0 };
    struct span rest;

    if (size < 2)
        return 0;
    if (!amender)
        amender = amender_new();
    edit.kind = kinds[data[0] % 3];
    rest = span_of((const char *)data + 1, size - 1);
    edit.value = span_slice(rest, 0, span_find_byte(rest, '\0'));
    rest = span_from(rest, edit.value.size + (edit.value.size < rest.size));
    if (edit_body(amender, &edit, rest, &out) == PRUNE_DONE) {
        assert(!span_equal(rest, buffer_span(&out)));
        if (edit.kind == DIRECTIVE_JSONPRUNE)
            check_json(buffer_span(&out));
        if (edit.kind == DIRECTIVE_XMLPRUNE)
            check_xml(buffer_span(&out));
    }
    buffer_release(&out);
    return 0;
}
