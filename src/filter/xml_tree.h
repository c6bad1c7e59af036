/*
 * xml_tree.h - where things stand in an XML text: elements, attributes and texts, in order.
 *
 * Nothing is decoded or copied; the text must outlive the tree. Only what is well-formed is read
 * (XML 1.0, in UTF-8 or bytes above ASCII left alone); of a document type declaration nothing is
 * used, and no entity but the five that XML itself has means anything. Knows nothing of paths. Its
 * parser does not call itself: depth and numbers have limits.
 */
#ifndef DEJUNK_FILTER_XML_TREE_H
#define DEJUNK_FILTER_XML_TREE_H

#include "base/bytes.h"
#include "filter/vector.h"

#define XML_DEPTH 512u
#define XML_NODES 300000u      // elements and texts
#define XML_ATTRIBUTES 500000u // of all elements

enum xml_kind { XML_ROOT, XML_ELEMENT, XML_TEXT, XML_CDATA };

struct xml_node {
    uint32_t start, end;          // in bytes; of an element with its tags
    uint32_t inside, inside_size; // of texts: as written
    uint32_t name, name_size;     // of elements
    uint32_t parent;              // of the root: itself
    uint32_t after;               // index behind all that is in it
    uint32_t attribute;           // its first in `attributes`
    uint32_t attribute_count;
    uint8_t kind;
};

struct xml_attribute {
    uint32_t start, end; // with the blank in front of it
    uint32_t name, name_size, value, value_size;
    uint32_t element;
};

struct xml_tree {
    struct span text;
    struct vector nodes; // struct xml_node, each in front of what is in it; the first is the root
    struct vector attributes;
};

enum xml_result { XML_READ, XML_NONE /* it is not well-formed */, XML_TOO_MUCH };

/* `tree` is filled in completely; it is ended with xml_tree_done(), whatever comes back. */
enum xml_result xml_tree_read(struct xml_tree *tree, struct span text);
void xml_tree_done(struct xml_tree *tree);

static inline const struct xml_node *xml_at(const struct xml_tree *tree, uint32_t index)
{
    return &VECTOR_AT(tree->nodes, struct xml_node, index);
}

static inline const struct xml_attribute *xml_attribute_at(const struct xml_tree *tree,
                                                           uint32_t index)
{
    return &VECTOR_AT(tree->attributes, struct xml_attribute, index);
}

/* Puts what is written, its references resolved, behind `out`. False: it does not fit. */
bool xml_decode(struct span written, struct buffer *out);

#endif
