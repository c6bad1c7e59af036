#include "filter/xpath.h"

#include <math.h>
#include <stdlib.h>

#include "filter/xml_tree.h"
#include "filter/xpath_expression.h"

/* ---- values ---- */

/* A node, by its place in the text and its index; attributes are numbered behind the nodes. Sorted,
 * they are in the order of the document. */
typedef uint64_t node_key;

enum value_kind { VALUE_NODES, VALUE_NUMBER, VALUE_STRING, VALUE_YES };

struct value {
    enum value_kind kind;
    bool is_yes;
    double number;
    struct buffer string; // VALUE_STRING
    node_key *nodes;      // VALUE_NODES
    size_t count, capacity;
};

struct context { // of an expression
    node_key node;
    size_t position, size;
};

struct search {
    const struct xml_tree *tree;
    const struct expression *expression;
    size_t work; // left
    bool is_over;
};

enum { // what things cost, in steps of the work
    COST_NODE = 2,
    COST_SORTED = 8,
    COST_EVALUATION = 8,
    COST_COMPARISON = 24,
    COST_TREE_BYTE = 1,
};

static bool works(struct search *search, size_t amount)
{
    if (search->work < amount)
        search->is_over = true;
    else
        search->work -= amount;
    return !search->is_over;
}

static void value_done(struct value *value)
{
    buffer_release(&value->string);
    free(value->nodes);
    *value = (struct value){ .kind = VALUE_NODES };
}

static void add_node(struct value *value, node_key node)
{
    if (value->count == value->capacity) {
        value->capacity = value->capacity ? value->capacity * 2 : 16;
        value->nodes = realloc(value->nodes, value->capacity * sizeof *value->nodes);
        if (!value->nodes)
            abort(); // out of memory
    }
    value->nodes[value->count++] = node;
}

static int compare_nodes(const void *a, const void *b)
{
    node_key x = *(const node_key *)a, y = *(const node_key *)b;
    return x < y ? -1 : x > y;
}

static void sort_nodes(struct search *search, struct value *value)
{
    size_t kept = 0;
    bool in_order = true;

    for (size_t i = 1; i < value->count && in_order; i++)
        in_order = value->nodes[i - 1] < value->nodes[i];
    if (in_order || !works(search, value->count * COST_SORTED))
        return;
    qsort(value->nodes, value->count, sizeof *value->nodes, compare_nodes);
    for (size_t i = 0; i < value->count; i++)
        if (i == 0 || value->nodes[i] != value->nodes[i - 1])
            value->nodes[kept++] = value->nodes[i];
    value->count = kept;
}

static uint32_t index_of(node_key node)
{
    return (uint32_t)node;
}

static node_key key_of(const struct search *search, uint32_t index)
{
    size_t nodes = search->tree->nodes.count;
    uint32_t start = index < nodes ? xml_at(search->tree, index)->start
                                   : xml_attribute_at(search->tree, index - (uint32_t)nodes)->start;
    return (node_key)start << 32 | index;
}

static bool is_attribute(const struct search *search, node_key node)
{
    return index_of(node) >= search->tree->nodes.count;
}

static const struct xml_attribute *attribute_of(const struct search *search, node_key node)
{
    return xml_attribute_at(search->tree, index_of(node) - (uint32_t)search->tree->nodes.count);
}

static struct span name_of(const struct search *search, node_key node)
{
    struct span text = search->tree->text;

    if (is_attribute(search, node))
        return span_slice(text, attribute_of(search, node)->name,
                          attribute_of(search, node)->name_size);
    return span_slice(text, xml_at(search->tree, index_of(node))->name,
                      xml_at(search->tree, index_of(node))->name_size);
}

/* Puts the text in a node behind `out`. */
static void put_text(struct search *search, node_key node, struct buffer *out)
{
    const struct xml_tree *tree = search->tree;
    uint32_t index = index_of(node), end;

    out->limit_bytes = XPATH_WORK;
    if (is_attribute(search, node)) {
        const struct xml_attribute *attribute = attribute_of(search, node);
        if (!works(search, attribute->value_size) ||
            !xml_decode(span_slice(tree->text, attribute->value, attribute->value_size), out))
            search->is_over = true;
        return;
    }
    end = xml_at(tree, index)->after;
    for (; index < end && works(search, COST_NODE); index++) {
        const struct xml_node *it = xml_at(tree, index);
        struct span written = span_slice(tree->text, it->inside, it->inside_size);

        if (!works(search, it->inside_size) ||
            (it->kind == XML_TEXT && !xml_decode(written, out)) ||
            (it->kind == XML_CDATA && !buffer_append(out, written)))
            search->is_over = true;
    }
}

/* "12.5", with blanks around it; all else is no number. */
static double number_of_text(struct span text)
{
    char copy[64];
    size_t digits = 0, dots = 0;
    struct span rest;

    while (text.size && memchr(" \t\r\n", text.at[0], 4))
        text = span_from(text, 1);
    while (text.size && memchr(" \t\r\n", text.at[text.size - 1], 4))
        text.size--;
    rest = text.size && text.at[0] == '-' ? span_from(text, 1) : text;
    for (size_t i = 0; i < rest.size; i++) {
        if (rest.at[i] == '.')
            dots++;
        else if (rest.at[i] >= '0' && rest.at[i] <= '9')
            digits++;
        else
            return NAN;
    }
    if (digits == 0 || dots > 1 || text.size >= sizeof copy)
        return NAN;
    memcpy(copy, text.at, text.size);
    copy[text.size] = 0;
    return strtod(copy, NULL);
}

static void put_number(double number, struct buffer *out)
{
    out->limit_bytes = XPATH_WORK;
    if (isnan(number))
        buffer_append(out, SPAN("NaN"));
    else if (isinf(number))
        buffer_append(out, number > 0 ? SPAN("Infinity") : SPAN("-Infinity"));
    else if (fabs(number) < 1e15 && number == floor(number))
        buffer_printf(out, "%.0f", number == 0 ? 0.0 : number);
    else
        buffer_printf(out, "%.15g", number);
}

/* The conversions of XPath section 4; the value becomes what is asked for. */
static void make_string(struct search *search, struct value *value)
{
    struct value made = { .kind = VALUE_STRING };

    if (value->kind == VALUE_STRING)
        return;
    made.string.limit_bytes = XPATH_WORK;
    if (value->kind == VALUE_NODES && value->count)
        put_text(search, value->nodes[0], &made.string);
    else if (value->kind == VALUE_NUMBER)
        put_number(value->number, &made.string);
    else if (value->kind == VALUE_YES)
        buffer_append(&made.string, value->is_yes ? SPAN("true") : SPAN("false"));
    value_done(value);
    *value = made;
}

static void make_number(struct search *search, struct value *value)
{
    double number = value->number;

    if (value->kind == VALUE_NUMBER)
        return;
    if (value->kind == VALUE_YES) {
        number = value->is_yes;
    } else {
        make_string(search, value);
        number = number_of_text(buffer_span(&value->string));
    }
    value_done(value);
    value->kind = VALUE_NUMBER;
    value->number = number;
}

static bool is_yes(const struct value *value)
{
    switch (value->kind) {
    case VALUE_NODES:
        return value->count > 0;
    case VALUE_NUMBER:
        return value->number != 0 && !isnan(value->number);
    case VALUE_STRING:
        return value->string.size > 0;
    case VALUE_YES:
        return value->is_yes;
    }
    return false;
}

static void make_yes(struct value *value)
{
    bool yes = is_yes(value);

    value_done(value);
    value->kind = VALUE_YES;
    value->is_yes = yes;
}

/* ---- evaluation ---- */

static void evaluate(struct search *search, uint16_t index, const struct context *context,
                     struct value *out);

static bool passes_test(const struct search *search, const struct part *step, node_key node)
{
    const struct xml_node *it;

    if (step->test == TEST_NODE)
        return true;
    if (is_attribute(search, node)) {
        if (step->axis != AXIS_ATTRIBUTE && step->axis != AXIS_SELF)
            return false;
    } else {
        it = xml_at(search->tree, index_of(node));
        if (step->test == TEST_TEXT)
            return it->kind == XML_TEXT || it->kind == XML_CDATA;
        if (it->kind != XML_ELEMENT)
            return false;
    }
    if (step->test == TEST_ANY)
        return true;
    if (step->test == TEST_NAME)
        return span_equal(name_of(search, node), step->text);
    return step->test == TEST_PREFIX && span_starts(name_of(search, node), step->text) &&
           name_of(search, node).size > step->text.size &&
           name_of(search, node).at[step->text.size] == ':';
}

static void offer(struct search *search, const struct part *step, uint32_t index,
                  struct value *candidates)
{
    node_key node = key_of(search, index);

    if (works(search, COST_NODE) && passes_test(search, step, node))
        add_node(candidates, node);
}

/* What the step's axis leads to from an attribute. */
static void list_from_attribute(struct search *search, const struct part *step, node_key from,
                                struct value *out)
{
    uint32_t element = attribute_of(search, from)->element;

    if (step->axis == AXIS_SELF || step->axis == AXIS_DESCENDANT_OR_SELF ||
        step->axis == AXIS_ANCESTOR_OR_SELF)
        offer(search, step, index_of(from), out);
    if (step->axis == AXIS_PARENT)
        offer(search, step, element, out);
    if (step->axis == AXIS_ANCESTOR || step->axis == AXIS_ANCESTOR_OR_SELF)
        for (uint32_t up = element;; up = xml_at(search->tree, up)->parent) {
            offer(search, step, up, out);
            if (up == 0 || search->is_over)
                break;
        }
}

/* All that the axis leads to, in its order, and that passes the step's test. */
static void list_axis(struct search *search, const struct part *step, node_key from,
                      struct value *out)
{
    const struct xml_tree *tree = search->tree;
    uint32_t index = index_of(from), up;
    const struct xml_node *node;
    size_t first = out->count;

    if (is_attribute(search, from)) {
        list_from_attribute(search, step, from, out);
        return;
    }
    node = xml_at(tree, index);
    switch ((enum axis)step->axis) {
    case AXIS_CHILD:
        for (uint32_t i = index + 1; i < node->after && !search->is_over;
             i = xml_at(tree, i)->after)
            offer(search, step, i, out);
        break;
    case AXIS_DESCENDANT:
    case AXIS_DESCENDANT_OR_SELF:
        for (uint32_t i = index + (step->axis == AXIS_DESCENDANT);
             i < node->after && !search->is_over; i++)
            offer(search, step, i, out);
        break;
    case AXIS_PARENT:
        if (index > 0)
            offer(search, step, node->parent, out);
        break;
    case AXIS_ANCESTOR:
    case AXIS_ANCESTOR_OR_SELF:
        if (step->axis == AXIS_ANCESTOR_OR_SELF)
            offer(search, step, index, out);
        for (up = index; up > 0 && !search->is_over;) {
            up = xml_at(tree, up)->parent;
            offer(search, step, up, out);
        }
        break;
    case AXIS_SELF:
        offer(search, step, index, out);
        break;
    case AXIS_ATTRIBUTE:
        for (uint32_t i = 0; i < node->attribute_count; i++)
            offer(search, step, (uint32_t)tree->nodes.count + node->attribute + i, out);
        break;
    case AXIS_FOLLOWING_SIBLING:
        for (uint32_t i = node->after;
             index > 0 && i < xml_at(tree, node->parent)->after && !search->is_over;
             i = xml_at(tree, i)->after)
            offer(search, step, i, out);
        break;
    case AXIS_PRECEDING_SIBLING: // the nearest is the first
        for (uint32_t i = node->parent + 1; i < index && !search->is_over;
             i = xml_at(tree, i)->after)
            offer(search, step, i, out);
        for (size_t a = first, b = out->count; a + 1 < b; a++, b--) {
            node_key other = out->nodes[a];
            out->nodes[a] = out->nodes[b - 1];
            out->nodes[b - 1] = other;
        }
        break;
    case AXES:
        break;
    }
}

/* Keeps of `nodes`, from `first` on, those that a predicate lets pass. */
static void apply_predicate(struct search *search, uint16_t predicate, struct value *nodes,
                            size_t first)
{
    struct context context = { .size = nodes->count - first };
    size_t kept = first;

    for (size_t i = first; i < nodes->count && works(search, 1); i++) {
        struct value value;
        bool holds;

        context.node = nodes->nodes[i];
        context.position = i - first + 1;
        evaluate(search, predicate, &context, &value);
        holds =
            value.kind == VALUE_NUMBER ? value.number == (double)context.position : is_yes(&value);
        value_done(&value);
        if (holds)
            nodes->nodes[kept++] = nodes->nodes[i];
    }
    nodes->count = kept;
}

/* *nodes becomes what a step leads to from all of them. */
static void take_one_step(struct search *search, uint16_t index, struct value *nodes)
{
    const struct part *step = &search->expression->parts[index];
    struct value out = { .kind = VALUE_NODES };

    for (size_t i = 0; i < nodes->count && !search->is_over; i++) {
        size_t first = out.count;

        list_axis(search, step, nodes->nodes[i], &out);
        for (uint16_t p = step->first; p; p = search->expression->parts[p].next)
            apply_predicate(search, p, &out, first);
    }
    sort_nodes(search, &out);
    value_done(nodes);
    *nodes = out;
}

static void evaluate_path(struct search *search, const struct part *path,
                          const struct context *context, struct value *out)
{
    *out = (struct value){ .kind = VALUE_NODES };
    add_node(out, path->is_absolute ? key_of(search, 0) : context->node);
    for (uint16_t step = path->first; step; step = search->expression->parts[step].next)
        take_one_step(search, step, out);
}

static void evaluate_filter(struct search *search, const struct part *filter,
                            const struct context *context, struct value *out)
{
    const struct part *parts = search->expression->parts;

    evaluate(search, filter->first, context, out);
    if (out->kind != VALUE_NODES) {
        value_done(out);
        return;
    }
    for (uint16_t next = parts[filter->first].next; next; next = parts[next].next) {
        if (parts[next].kind == PART_PREDICATE)
            apply_predicate(search, parts[next].first, out, 0);
        else
            take_one_step(search, next, out);
    }
}

static bool compare_numbers(enum part_kind kind, double a, double b)
{
    switch (kind) {
    case PART_EQUAL:
        return a == b;
    case PART_UNEQUAL:
        return a != b;
    case PART_LESS:
        return a < b;
    case PART_LESS_EQUAL:
        return a <= b;
    case PART_GREATER:
        return a > b;
    default:
        return a >= b;
    }
}

/* Of two values of which none is a set of nodes. */
static bool compare_plain(struct search *search, enum part_kind kind, struct value *a,
                          struct value *b)
{
    bool is_same;

    if (kind != PART_EQUAL && kind != PART_UNEQUAL) {
        make_number(search, a);
        make_number(search, b);
        return compare_numbers(kind, a->number, b->number);
    }
    if (a->kind == VALUE_YES || b->kind == VALUE_YES) {
        is_same = is_yes(a) == is_yes(b);
    } else if (a->kind == VALUE_NUMBER || b->kind == VALUE_NUMBER) {
        make_number(search, a);
        make_number(search, b);
        return compare_numbers(kind, a->number, b->number);
    } else {
        is_same = span_equal(buffer_span(&a->string), buffer_span(&b->string));
    }
    return is_same == (kind == PART_EQUAL);
}

/* A copy without nodes. */
static struct value copy_plain(const struct value *value)
{
    struct value copy = { .kind = value->kind, .is_yes = value->is_yes, .number = value->number };

    copy.string.limit_bytes = XPATH_WORK;
    buffer_append(&copy.string, buffer_span(&value->string));
    return copy;
}

/* Of a set with anything: does it hold for one of its nodes? `is_left`: the set stands left. */
static bool compare_nodes_with(struct search *search, enum part_kind kind,
                               const struct value *nodes, const struct value *other, bool is_left)
{
    for (size_t i = 0; i < nodes->count && works(search, 1); i++) {
        size_t count = other->kind == VALUE_NODES ? other->count : 1;

        for (size_t k = 0; k < count && works(search, COST_COMPARISON); k++) {
            struct value a = { .kind = VALUE_STRING }, b = { .kind = VALUE_STRING };
            bool holds;

            put_text(search, nodes->nodes[i], &a.string);
            if (other->kind == VALUE_NODES)
                put_text(search, other->nodes[k], &b.string);
            else
                b = copy_plain(other);
            holds =
                is_left ? compare_plain(search, kind, &a, &b) : compare_plain(search, kind, &b, &a);
            value_done(&a);
            value_done(&b);
            if (holds)
                return true;
        }
    }
    return false;
}

static bool compare_values(struct search *search, enum part_kind kind, struct value *a,
                           struct value *b)
{
    if (a->kind == VALUE_NODES && b->kind == VALUE_YES)
        make_yes(a);
    if (b->kind == VALUE_NODES && a->kind == VALUE_YES)
        make_yes(b);
    if (a->kind == VALUE_NODES)
        return compare_nodes_with(search, kind, a, b, true);
    if (b->kind == VALUE_NODES)
        return compare_nodes_with(search, kind, b, a, false);
    return compare_plain(search, kind, a, b);
}

static double calculate(enum part_kind kind, double a, double b)
{
    switch (kind) {
    case PART_PLUS:
        return a + b;
    case PART_MINUS:
        return a - b;
    case PART_TIMES:
        return a * b;
    case PART_DIV:
        return a / b;
    default:
        return fmod(a, b);
    }
}

/* ---- functions ---- */

static size_t character_size(struct span text)
{
    size_t size = 1;

    if ((uint8_t)text.at[0] >= 0xc0)
        while (size < text.size && size < 4 && ((uint8_t)text.at[size] & 0xc0) == 0x80)
            size++;
    return size;
}

static size_t count_characters(struct span text)
{
    size_t count = 0;

    for (; text.size; count++)
        text = span_from(text, character_size(text));
    return count;
}

static double round_half_up(double number)
{
    return isnan(number) || isinf(number) ? number : floor(number + 0.5);
}

/* The characters from `start` (1 is the first) on, before `end`. */
static void put_substring(struct span text, double start, double end, struct buffer *out)
{
    for (size_t place = 1; text.size; place++) {
        size_t size = character_size(text);
        if ((double)place >= start && (double)place < end)
            buffer_append(out, span_slice(text, 0, size));
        text = span_from(text, size);
    }
}

static void put_normalized(struct span text, struct buffer *out)
{
    bool is_first = true;

    while (text.size) {
        size_t size = 0;

        while (text.size && memchr(" \t\r\n", text.at[0], 4))
            text = span_from(text, 1);
        while (size < text.size && !memchr(" \t\r\n", text.at[size], 4))
            size++;
        if (size && !is_first)
            buffer_append(out, SPAN(" "));
        buffer_append(out, span_slice(text, 0, size));
        is_first = is_first && size == 0;
        text = span_from(text, size);
    }
}

static void put_translated(struct search *search, struct span text, struct span from,
                           struct span to, struct buffer *out)
{
    while (text.size && works(search, from.size / 8 + 1)) {
        size_t size = character_size(text);
        struct span rest = from, into = to;
        bool is_found = false;

        while (rest.size && !is_found) {
            size_t one = character_size(rest);
            is_found = span_equal(span_slice(rest, 0, one), span_slice(text, 0, size));
            rest = span_from(rest, one);
            if (!is_found && into.size)
                into = span_from(into, character_size(into));
        }
        if (!is_found)
            buffer_append(out, span_slice(text, 0, size));
        else if (into.size)
            buffer_append(out, span_slice(into, 0, character_size(into)));
        text = span_from(text, size);
    }
}

static double sum_of(struct search *search, const struct value *nodes)
{
    double sum = 0;

    for (size_t i = 0; i < nodes->count && works(search, 1); i++) {
        struct value one = { .kind = VALUE_STRING };
        put_text(search, nodes->nodes[i], &one.string);
        sum += number_of_text(buffer_span(&one.string));
        value_done(&one);
    }
    return sum;
}

/* Functions whose arguments are strings, all made so. */
static void call_with_strings(struct search *search, enum function function,
                              struct value *arguments, size_t count, struct value *out)
{
    struct span a = buffer_span(&arguments[0].string);
    struct span b = count > 1 ? buffer_span(&arguments[1].string) : SPAN_NONE;
    size_t found;

    out->kind = VALUE_STRING;
    out->string.limit_bytes = XPATH_WORK;
    switch (function) {
    case CALL_CONCAT:
        for (size_t i = 0; i < count; i++)
            if (!buffer_append(&out->string, buffer_span(&arguments[i].string)))
                search->is_over = true;
        break;
    case CALL_STARTS_WITH:
        out->kind = VALUE_YES;
        out->is_yes = span_starts(a, b);
        break;
    case CALL_CONTAINS:
        out->kind = VALUE_YES;
        out->is_yes = b.size == 0 || span_find(a, b) < a.size;
        break;
    case CALL_SUBSTRING_BEFORE:
        found = b.size ? span_find(a, b) : 0;
        buffer_append(&out->string, found < a.size ? span_slice(a, 0, found) : SPAN_NONE);
        break;
    case CALL_SUBSTRING_AFTER:
        found = b.size ? span_find(a, b) : 0;
        buffer_append(&out->string, found < a.size ? span_from(a, found + b.size) : SPAN_NONE);
        break;
    case CALL_STRING_LENGTH:
        out->kind = VALUE_NUMBER;
        out->number = (double)count_characters(a);
        break;
    case CALL_NORMALIZE_SPACE:
        put_normalized(a, &out->string);
        break;
    case CALL_TRANSLATE:
        put_translated(search, a, b, buffer_span(&arguments[2].string), &out->string);
        break;
    default: // CALL_STRING
        buffer_append(&out->string, a);
        break;
    }
}

static void call_with_number(enum function function, double number, struct value *out)
{
    out->kind = VALUE_NUMBER;
    out->number = function == CALL_FLOOR     ? floor(number)
                  : function == CALL_CEILING ? ceil(number)
                  : function == CALL_ROUND   ? round_half_up(number)
                                             : number;
}

static void call_with_nodes(struct search *search, enum function function,
                            const struct value *nodes, struct value *out)
{
    struct span name;

    if (function == CALL_COUNT || function == CALL_SUM) {
        out->kind = VALUE_NUMBER;
        out->number = function == CALL_COUNT ? (double)nodes->count : sum_of(search, nodes);
        return;
    }
    out->kind = VALUE_STRING;
    out->string.limit_bytes = XPATH_WORK;
    if (nodes->count == 0)
        return;
    name = name_of(search, nodes->nodes[0]);
    if (function == CALL_LOCAL_NAME && span_find_byte(name, ':') < name.size)
        name = span_from(name, span_find_byte(name, ':') + 1);
    buffer_append(&out->string, name);
}

static void call_substring(struct search *search, struct value *arguments, size_t count,
                           struct value *out)
{
    double start, end = INFINITY;

    make_string(search, &arguments[0]);
    make_number(search, &arguments[1]);
    start = round_half_up(arguments[1].number);
    if (count > 2) {
        make_number(search, &arguments[2]);
        end = start + round_half_up(arguments[2].number);
    }
    out->kind = VALUE_STRING;
    out->string.limit_bytes = XPATH_WORK;
    put_substring(buffer_span(&arguments[0].string), start, end, &out->string);
}

static void call_with(struct search *search, enum function function, const struct context *context,
                      struct value *arguments, size_t count, struct value *out)
{
    switch (function) {
    case CALL_POSITION:
    case CALL_LAST:
        out->kind = VALUE_NUMBER;
        out->number = (double)(function == CALL_POSITION ? context->position : context->size);
        break;
    case CALL_TRUE:
    case CALL_FALSE:
        out->kind = VALUE_YES;
        out->is_yes = function == CALL_TRUE;
        break;
    case CALL_BOOLEAN:
    case CALL_NOT:
        out->kind = VALUE_YES;
        out->is_yes = is_yes(&arguments[0]) == (function == CALL_BOOLEAN);
        break;
    case CALL_COUNT:
    case CALL_SUM:
    case CALL_NAME:
    case CALL_LOCAL_NAME:
        if (arguments[0].kind == VALUE_NODES)
            call_with_nodes(search, function, &arguments[0], out);
        break;
    case CALL_NUMBER:
    case CALL_FLOOR:
    case CALL_CEILING:
    case CALL_ROUND:
        make_number(search, &arguments[0]);
        call_with_number(function, arguments[0].number, out);
        break;
    case CALL_SUBSTRING:
        call_substring(search, arguments, count, out);
        break;
    default:
        for (size_t i = 0; i < count; i++)
            make_string(search, &arguments[i]);
        call_with_strings(search, function, arguments, count, out);
        break;
    }
}

static void evaluate_call(struct search *search, const struct part *call,
                          const struct context *context, struct value *out)
{
    enum function function = (enum function)call->function;
    struct value arguments[XPATH_ARGUMENTS] = { 0 };
    size_t count = 0;

    *out = (struct value){ .kind = VALUE_NODES };
    for (uint16_t part = call->first; part; part = search->expression->parts[part].next)
        evaluate(search, part, context, &arguments[count++]);
    if (count == 0 && xpath_call_is_of_node(function)) { // of the node under examination
        arguments[0] = (struct value){ .kind = VALUE_NODES };
        add_node(&arguments[0], context->node);
        count = 1;
    }
    call_with(search, function, context, arguments, count, out);
    for (size_t i = 0; i < count; i++)
        value_done(&arguments[i]);
}

/* Two operands, of which `and` and `or` may need only the first. */
static void evaluate_pair(struct search *search, const struct part *part,
                          const struct context *context, struct value *out)
{
    enum part_kind kind = (enum part_kind)part->kind;
    struct value right;

    evaluate(search, part->first, context, out);
    if (kind == PART_AND || kind == PART_OR) {
        make_yes(out);
        if (out->is_yes == (kind == PART_OR))
            return;
    }
    evaluate(search, search->expression->parts[part->first].next, context, &right);
    if (kind == PART_AND || kind == PART_OR) {
        out->is_yes = is_yes(&right);
    } else if (kind == PART_UNION) {
        for (size_t i = 0; right.kind == VALUE_NODES && out->kind == VALUE_NODES && i < right.count;
             i++)
            add_node(out, right.nodes[i]);
        sort_nodes(search, out);
    } else if (kind <= PART_GREATER_EQUAL) {
        bool holds = compare_values(search, kind, out, &right);
        value_done(out);
        out->kind = VALUE_YES;
        out->is_yes = holds;
    } else {
        make_number(search, out);
        make_number(search, &right);
        out->number = calculate(kind, out->number, right.number);
    }
    value_done(&right);
}

/* It calls itself for the parts of an expression, of which there are at most XPATH_PARTS. */
static void evaluate(struct search *search, uint16_t index, const struct context *context,
                     struct value *out)
{
    const struct part *part = &search->expression->parts[index];

    *out = (struct value){ .kind = VALUE_NODES };
    if (!works(search, COST_EVALUATION))
        return;
    switch ((enum part_kind)part->kind) {
    case PART_NEGATIVE:
        evaluate(search, part->first, context, out);
        make_number(search, out);
        out->number = -out->number;
        break;
    case PART_NUMBER:
        out->kind = VALUE_NUMBER;
        out->number = part->number;
        break;
    case PART_STRING:
        out->kind = VALUE_STRING;
        out->string.limit_bytes = XPATH_WORK;
        buffer_append(&out->string, part->text);
        break;
    case PART_CALL:
        evaluate_call(search, part, context, out);
        break;
    case PART_PATH:
        evaluate_path(search, part, context, out);
        break;
    case PART_FILTER:
        evaluate_filter(search, part, context, out);
        break;
    case PART_STEP:
    case PART_PREDICATE:
        break; // evaluated with what they belong to
    default:
        evaluate_pair(search, part, context, out);
        break;
    }
}

/* ---- removing ---- */

static enum prune_result copy_rest(const struct search *search, const struct value *nodes,
                                   struct buffer *out)
{
    const struct xml_tree *tree = search->tree;
    size_t copied = 0;
    bool fits = true, is_any = false;

    for (size_t i = 0; i < nodes->count && fits; i++) {
        size_t start = (size_t)(nodes->nodes[i] >> 32), end;

        if (is_attribute(search, nodes->nodes[i])) {
            end = attribute_of(search, nodes->nodes[i])->end;
        } else {
            const struct xml_node *node = xml_at(tree, index_of(nodes->nodes[i]));
            if (node->parent == 0)
                continue; // without its outermost element it would be no document
            end = node->end;
        }
        if (start < copied)
            continue; // in something that is gone
        fits = buffer_append(out, span_slice(tree->text, copied, start - copied));
        copied = end;
        is_any = true;
    }
    if (!is_any)
        return PRUNE_NOTHING;
    return fits && buffer_append(out, span_from(tree->text, copied)) ? PRUNE_DONE : PRUNE_TOO_MUCH;
}

enum prune_result xpath_prune(struct span text_of_expression, struct span text, struct buffer *out)
{
    struct expression *expression = malloc(sizeof *expression);
    enum prune_result result = PRUNE_NOTHING;
    enum xml_result read;
    struct xml_tree tree;

    if (!expression)
        abort(); // out of memory
    if (!xpath_expression_read(expression, text_of_expression)) {
        free(expression);
        return PRUNE_NOTHING;
    }
    read = xml_tree_read(&tree, text);
    if (read == XML_TOO_MUCH)
        result = PRUNE_TOO_MUCH;
    if (read == XML_READ) {
        struct search search = { .tree = &tree, .expression = expression, .work = XPATH_WORK };
        struct context context = { .position = 1, .size = 1 };
        struct value nodes;

        context.node = key_of(&search, 0);
        evaluate(&search, expression->root, &context, &nodes);
        result = search.is_over              ? PRUNE_TOO_MUCH
                 : nodes.kind == VALUE_NODES ? copy_rest(&search, &nodes, out)
                                             : PRUNE_NOTHING;
        value_done(&nodes);
    }
    xml_tree_done(&tree);
    free(expression);
    if (result != PRUNE_DONE)
        buffer_release(out);
    return result;
}

bool xpath_is_good(struct span text)
{
    struct expression *expression = malloc(sizeof *expression);
    bool is_good;

    if (!expression)
        abort(); // out of memory
    is_good = xpath_expression_read(expression, text);
    free(expression);
    return is_good;
}
