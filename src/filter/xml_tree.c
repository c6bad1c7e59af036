#include "filter/xml_tree.h"

#include "base/utf8.h"

struct reader {
    struct xml_tree *tree;
    struct span text;
    size_t at;
    uint32_t parent; // 0: outside of the outermost element
    uint32_t depth;
    bool has_element; // the outermost has been there
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_name_byte(char c)
{
    return (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') || c == '_' || c == ':' ||
           (c >= '0' && c <= '9') || c == '-' || c == '.' || (uint8_t)c >= 128;
}

static bool is_name_start(char c)
{
    return is_name_byte(c) && !(c >= '0' && c <= '9') && c != '-' && c != '.';
}

static char byte_at(const struct reader *reader, size_t at)
{
    return at < reader->text.size ? reader->text.at[at] : '\0';
}

static void skip_blanks(struct reader *reader)
{
    while (is_blank(byte_at(reader, reader->at)))
        reader->at++;
}

static bool looking_at(const struct reader *reader, struct span word)
{
    return span_starts(span_from(reader->text, reader->at), word);
}

static size_t take_name(struct reader *reader)
{
    size_t start = reader->at;

    if (!is_name_start(byte_at(reader, start)))
        return 0;
    while (reader->at < reader->text.size && is_name_byte(reader->text.at[reader->at]))
        reader->at++;
    return reader->at - start;
}

/* Moves behind the next `end`; false: there is none. */
static bool skip_past(struct reader *reader, size_t from, struct span end)
{
    struct span rest;
    size_t found;

    if (from > reader->text.size)
        return false;
    rest = span_from(reader->text, from);
    found = end.size == 1 ? span_find_byte(rest, end.at[0]) : span_find(rest, end);
    if (found == rest.size)
        return false;
    reader->at = from + found + end.size;
    return true;
}

/* "<!DOCTYPE ... [ ... ] >": passed over with its quotes, comments and brackets. */
static bool skip_doctype(struct reader *reader)
{
    bool in_brackets = false;

    while (reader->at < reader->text.size) {
        char c = reader->text.at[reader->at++];
        if (c == '"' || c == '\'') {
            if (!skip_past(reader, reader->at, span_of(&c, 1)))
                return false;
        } else if (c == '<' && looking_at(reader, SPAN("!--"))) {
            if (!skip_past(reader, reader->at + 3, SPAN("-->")))
                return false;
        } else if (c == '[') {
            in_brackets = true;
        } else if (c == ']') {
            in_brackets = false;
        } else if (c == '>' && !in_brackets) {
            return true;
        }
    }
    return false;
}

static struct xml_node *node_at(struct reader *reader, uint32_t index)
{
    return &VECTOR_AT(reader->tree->nodes, struct xml_node, index);
}

/* NULL: there are too many. */
static struct xml_node *add_node(struct reader *reader, enum xml_kind kind, size_t start)
{
    struct xml_node *node;

    if (reader->tree->nodes.count == XML_NODES)
        return NULL;
    node = VECTOR_ADD(reader->tree->nodes, struct xml_node);
    node->kind = (uint8_t)kind;
    node->start = (uint32_t)start;
    node->parent = reader->parent;
    node->after = (uint32_t)reader->tree->nodes.count;
    node->attribute = (uint32_t)reader->tree->attributes.count;
    return node;
}

static enum xml_result add_text(struct reader *reader, enum xml_kind kind, size_t start,
                                size_t inside, size_t inside_end, size_t end)
{
    struct xml_node *node = add_node(reader, kind, start);

    if (!node)
        return XML_TOO_MUCH;
    node->inside = (uint32_t)inside;
    node->inside_size = (uint32_t)(inside_end - inside);
    node->end = (uint32_t)end;
    return XML_READ;
}

static void close_element(struct reader *reader)
{
    struct xml_node *node = node_at(reader, reader->parent);

    node->end = (uint32_t)reader->at;
    node->after = (uint32_t)reader->tree->nodes.count;
    reader->parent = node->parent;
    reader->depth--;
}

static bool is_double(const struct xml_tree *tree, const struct xml_node *element, uint32_t count,
                      struct span name)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct xml_attribute *other = xml_attribute_at(tree, element->attribute + i);
        if (span_equal(span_slice(tree->text, other->name, other->name_size), name))
            return true;
    }
    return false;
}

enum { ATTRIBUTES = 64 }; // of one element: compared with one another

/* ` name = "value"`, at its name; the blank in front begins at `start`. */
static enum xml_result take_attribute(struct reader *reader, uint32_t element, size_t start)
{
    struct xml_attribute attribute = { .start = (uint32_t)start, .element = element };
    uint32_t count = node_at(reader, element)->attribute_count;
    char quote;

    attribute.name = (uint32_t)reader->at;
    attribute.name_size = (uint32_t)take_name(reader);
    skip_blanks(reader);
    if (!attribute.name_size || byte_at(reader, reader->at) != '=')
        return XML_NONE;
    reader->at++;
    skip_blanks(reader);
    quote = byte_at(reader, reader->at);
    if (quote != '"' && quote != '\'')
        return XML_NONE;
    attribute.value = (uint32_t)reader->at + 1;
    if (!skip_past(reader, reader->at + 1, span_of(&quote, 1)))
        return XML_NONE;
    attribute.end = (uint32_t)reader->at;
    attribute.value_size = attribute.end - 1 - attribute.value;
    if (memchr(reader->text.at + attribute.value, '<', attribute.value_size))
        return XML_NONE;
    if (count == ATTRIBUTES || reader->tree->attributes.count == XML_ATTRIBUTES)
        return XML_TOO_MUCH;
    if (is_double(reader->tree, node_at(reader, element), count,
                  span_slice(reader->text, attribute.name, attribute.name_size)))
        return XML_NONE;
    *VECTOR_ADD(reader->tree->attributes, struct xml_attribute) = attribute;
    node_at(reader, element)->attribute_count++;
    return XML_READ;
}

/* "<name ...>" or "<name .../>" */
static enum xml_result take_start_tag(struct reader *reader)
{
    size_t start = reader->at;
    uint32_t index = (uint32_t)reader->tree->nodes.count;
    struct xml_node *node;

    if (reader->parent == 0 && reader->has_element)
        return XML_NONE; // a second outermost element
    node = add_node(reader, XML_ELEMENT, start);
    if (!node || reader->depth == XML_DEPTH)
        return XML_TOO_MUCH;
    reader->has_element = true;
    reader->at++;
    node->name = (uint32_t)reader->at;
    node->name_size = (uint32_t)take_name(reader);
    if (!node->name_size)
        return XML_NONE;
    for (;;) {
        size_t blank = reader->at;
        enum xml_result result;

        skip_blanks(reader);
        if (looking_at(reader, SPAN("/>")) || byte_at(reader, reader->at) == '>')
            break;
        if (blank == reader->at)
            return XML_NONE;
        result = take_attribute(reader, index, blank);
        if (result != XML_READ)
            return result;
    }
    reader->parent = index;
    reader->depth++;
    if (reader->text.at[reader->at] == '>') {
        reader->at++;
    } else {
        reader->at += 2;
        close_element(reader);
    }
    return XML_READ;
}

static enum xml_result take_end_tag(struct reader *reader)
{
    const struct xml_node *node = node_at(reader, reader->parent);
    struct span name;

    if (reader->parent == 0)
        return XML_NONE;
    reader->at += 2;
    name.at = reader->text.at + reader->at;
    name.size = take_name(reader);
    skip_blanks(reader);
    if (!span_equal(name, span_slice(reader->text, node->name, node->name_size)) ||
        byte_at(reader, reader->at) != '>')
        return XML_NONE;
    reader->at++;
    close_element(reader);
    return XML_READ;
}

/* At a '<'. */
static enum xml_result take_markup(struct reader *reader)
{
    size_t start = reader->at;

    if (looking_at(reader, SPAN("</")))
        return take_end_tag(reader);
    if (looking_at(reader, SPAN("<!--")))
        return skip_past(reader, start + 4, SPAN("-->")) ? XML_READ : XML_NONE;
    if (looking_at(reader, SPAN("<?")))
        return skip_past(reader, start + 2, SPAN("?>")) ? XML_READ : XML_NONE;
    if (looking_at(reader, SPAN("<![CDATA["))) {
        if (reader->parent == 0 || !skip_past(reader, start + 9, SPAN("]]>")))
            return XML_NONE;
        return add_text(reader, XML_CDATA, start, start + 9, reader->at - 3, reader->at);
    }
    if (looking_at(reader, SPAN("<!DOCTYPE")))
        return reader->has_element || !skip_doctype(reader) ? XML_NONE : XML_READ;
    return take_start_tag(reader);
}

enum xml_result xml_tree_read(struct xml_tree *tree, struct span text)
{
    struct reader reader = { .tree = tree };
    struct xml_node *root;

    if (!text.at)
        text = SPAN("");
    reader.text = text;
    *tree = (struct xml_tree){ .text = text };
    if (text.size > UINT32_MAX / 2)
        return XML_TOO_MUCH;
    root = add_node(&reader, XML_ROOT, 0);
    root->end = (uint32_t)text.size;
    if (looking_at(&reader, SPAN("\xef\xbb\xbf")))
        reader.at = 3;
    while (reader.at < text.size) {
        size_t start = reader.at;
        enum xml_result result = XML_READ;

        if (text.at[start] == '<') {
            result = take_markup(&reader);
        } else {
            reader.at += span_find_byte(span_from(text, start), '<');
            if (reader.parent != 0)
                result = add_text(&reader, XML_TEXT, start, start, reader.at, reader.at);
            for (size_t i = start; reader.parent == 0 && i < reader.at; i++)
                if (!is_blank(text.at[i]))
                    return XML_NONE;
        }
        if (result != XML_READ)
            return result;
    }
    node_at(&reader, 0)->after = (uint32_t)tree->nodes.count;
    return reader.parent == 0 && reader.has_element ? XML_READ : XML_NONE;
}

void xml_tree_done(struct xml_tree *tree)
{
    vector_done(&tree->nodes);
    vector_done(&tree->attributes);
}

/* ---- references ---- */

/* Of "#38" or "#x26": the character; 0: none. */
static uint32_t numbered(struct span name)
{
    bool is_hex = name.size > 1 && name.at[1] == 'x';
    uint32_t code = 0;

    if (name.size < 2 + (size_t)is_hex || name.size > 8)
        return 0;
    for (size_t i = 1 + (size_t)is_hex; i < name.size; i++) {
        char c = ascii_lower(name.at[i]);
        if (c >= '0' && c <= '9')
            code = code * (is_hex ? 16 : 10) + (uint32_t)(c - '0');
        else if (is_hex && c >= 'a' && c <= 'f')
            code = code * 16 + (uint32_t)(c - 'a' + 10);
        else
            return 0;
    }
    return code < 0x110000 ? code : 0;
}

/* The bytes that "name" of "&name;" stands for; 0: it is not known. */
static size_t resolve(struct span name, char *to)
{
    static const struct {
        const char *name;
        char c;
    } known[] = { { "lt", '<' }, { "gt", '>' }, { "amp", '&' }, { "quot", '"' }, { "apos", '\'' } };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (span_equal(name, span_text(known[i].name))) {
            *to = known[i].c;
            return 1;
        }
    if (name.size && name.at[0] == '#') {
        uint32_t code = numbered(name);
        return code ? utf8_put(to, code) : 0;
    }
    return 0;
}

bool xml_decode(struct span written, struct buffer *out)
{
    while (written.size) {
        size_t plain = span_find_byte(written, '&'), end;
        char bytes[4];
        size_t size = 0;

        if (!buffer_append(out, span_slice(written, 0, plain)))
            return false;
        written = span_from(written, plain);
        if (!written.size)
            break;
        end = 1;
        while (end < written.size && end < 12 && written.at[end] != ';')
            end++;
        if (end < written.size && written.at[end] == ';')
            size = resolve(span_slice(written, 1, end - 1), bytes);
        if (!buffer_append(out, size ? span_of(bytes, size) : span_slice(written, 0, 1)))
            return false;
        written = span_from(written, size ? end + 1 : 1);
    }
    return true;
}
