#include "filter/xpath_expression.h"

#include <stdlib.h>

static const struct {
    const char *name;
    uint8_t least, most; // arguments
} calls[CALLS] = {
    [CALL_POSITION] = { "position", 0, 0 },
    [CALL_LAST] = { "last", 0, 0 },
    [CALL_COUNT] = { "count", 1, 1 },
    [CALL_NAME] = { "name", 0, 1 },
    [CALL_LOCAL_NAME] = { "local-name", 0, 1 },
    [CALL_STRING] = { "string", 0, 1 },
    [CALL_CONCAT] = { "concat", 2, XPATH_ARGUMENTS },
    [CALL_STARTS_WITH] = { "starts-with", 2, 2 },
    [CALL_CONTAINS] = { "contains", 2, 2 },
    [CALL_SUBSTRING_BEFORE] = { "substring-before", 2, 2 },
    [CALL_SUBSTRING_AFTER] = { "substring-after", 2, 2 },
    [CALL_SUBSTRING] = { "substring", 2, 3 },
    [CALL_STRING_LENGTH] = { "string-length", 0, 1 },
    [CALL_NORMALIZE_SPACE] = { "normalize-space", 0, 1 },
    [CALL_TRANSLATE] = { "translate", 3, 3 },
    [CALL_BOOLEAN] = { "boolean", 1, 1 },
    [CALL_NOT] = { "not", 1, 1 },
    [CALL_TRUE] = { "true", 0, 0 },
    [CALL_FALSE] = { "false", 0, 0 },
    [CALL_NUMBER] = { "number", 0, 1 },
    [CALL_SUM] = { "sum", 1, 1 },
    [CALL_FLOOR] = { "floor", 1, 1 },
    [CALL_CEILING] = { "ceiling", 1, 1 },
    [CALL_ROUND] = { "round", 1, 1 },
};

static const char *const axes[AXES] = {
    [AXIS_CHILD] = "child",
    [AXIS_DESCENDANT] = "descendant",
    [AXIS_DESCENDANT_OR_SELF] = "descendant-or-self",
    [AXIS_PARENT] = "parent",
    [AXIS_ANCESTOR] = "ancestor",
    [AXIS_ANCESTOR_OR_SELF] = "ancestor-or-self",
    [AXIS_SELF] = "self",
    [AXIS_ATTRIBUTE] = "attribute",
    [AXIS_FOLLOWING_SIBLING] = "following-sibling",
    [AXIS_PRECEDING_SIBLING] = "preceding-sibling",
};

struct parser {
    struct expression *expression;
    struct span rest;
    unsigned nesting;
};

static uint16_t add_part(struct parser *parser, enum part_kind kind)
{
    struct expression *expression = parser->expression;

    if (expression->count == XPATH_PARTS)
        return 0;
    expression->parts[expression->count] = (struct part){ .kind = (uint8_t)kind };
    return (uint16_t)expression->count++;
}

static struct part *part_at(struct parser *parser, uint16_t part)
{
    return &parser->expression->parts[part];
}

/* `operand` becomes the last of `part`. */
static void add_operand(struct parser *parser, uint16_t part, uint16_t operand)
{
    uint16_t *link = &part_at(parser, part)->first;

    while (*link)
        link = &part_at(parser, *link)->next;
    *link = operand;
}

static uint16_t add_pair(struct parser *parser, enum part_kind kind, uint16_t left, uint16_t right)
{
    uint16_t part = left && right ? add_part(parser, kind) : 0;

    if (!part)
        return 0;
    add_operand(parser, part, left);
    add_operand(parser, part, right);
    return part;
}

static void skip_blanks(struct parser *parser)
{
    while (parser->rest.size && memchr(" \t\r\n", parser->rest.at[0], 4))
        parser->rest = span_from(parser->rest, 1);
}

static bool looking_at(struct parser *parser, const char *word)
{
    skip_blanks(parser);
    return span_starts(parser->rest, span_text(word));
}

static bool take(struct parser *parser, const char *word)
{
    if (!looking_at(parser, word))
        return false;
    parser->rest = span_from(parser->rest, strlen(word));
    return true;
}

static bool is_name_byte(char c)
{
    return (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.' || (uint8_t)c >= 128;
}

/* A name at the start of the rest, with its prefix if it has one; 0: none. */
static size_t name_size(struct span rest)
{
    size_t size = 0;

    if (!rest.size || !is_name_byte(rest.at[0]) || memchr("0123456789-.", rest.at[0], 12))
        return 0;
    while (size < rest.size && is_name_byte(rest.at[size]))
        size++;
    if (size + 1 < rest.size && rest.at[size] == ':' && is_name_byte(rest.at[size + 1]))
        for (size++; size < rest.size && is_name_byte(rest.at[size]);)
            size++;
    return size;
}

/* An operator that is a word, "and": not the start of a longer name. */
static bool take_word(struct parser *parser, const char *word)
{
    skip_blanks(parser);
    return name_size(parser->rest) == strlen(word) && take(parser, word);
}

static uint16_t take_or(struct parser *parser);

/* Predicates behind `part`, as its operands. */
static bool take_predicates(struct parser *parser, uint16_t part, bool are_wrapped)
{
    while (take(parser, "[")) {
        uint16_t predicate = take_or(parser);

        if (!predicate || !take(parser, "]"))
            return false;
        if (are_wrapped) {
            uint16_t wrap = add_part(parser, PART_PREDICATE);
            if (!wrap)
                return false;
            add_operand(parser, wrap, predicate);
            predicate = wrap;
        }
        add_operand(parser, part, predicate);
    }
    return true;
}

static bool take_axis(struct parser *parser, struct part *step)
{
    step->axis = AXIS_CHILD;
    if (take(parser, "@")) {
        step->axis = AXIS_ATTRIBUTE;
        return true;
    }
    for (unsigned i = 0; i < AXES; i++) {
        struct span name = span_text(axes[i]), rest;
        skip_blanks(parser);
        if (name_size(parser->rest) != name.size || !span_starts(parser->rest, name))
            continue;
        rest = span_from(parser->rest, name.size);
        while (rest.size && rest.at[0] == ' ')
            rest = span_from(rest, 1);
        if (!span_starts(rest, SPAN("::")))
            continue;
        step->axis = (uint8_t)i;
        parser->rest = span_from(rest, 2);
        return true;
    }
    return true;
}

static bool take_test(struct parser *parser, struct part *step)
{
    size_t size;

    skip_blanks(parser);
    if (take(parser, "*")) {
        step->test = TEST_ANY;
        return true;
    }
    size = name_size(parser->rest);
    if (size == 0)
        return false;
    step->text = span_slice(parser->rest, 0, size);
    parser->rest = span_from(parser->rest, size);
    step->test = TEST_NAME;
    if (span_starts(parser->rest, SPAN(":*"))) {
        step->test = TEST_PREFIX;
        parser->rest = span_from(parser->rest, 2);
    } else if (take(parser, "(")) {
        if (span_equal(step->text, SPAN("text")))
            step->test = TEST_TEXT;
        else if (span_equal(step->text, SPAN("node")))
            step->test = TEST_NODE;
        else
            return false;
        return take(parser, ")");
    }
    return true;
}

static uint16_t take_step(struct parser *parser)
{
    uint16_t part = add_part(parser, PART_STEP);
    struct part *step = part_at(parser, part);

    if (!part)
        return 0;
    step->test = TEST_NODE;
    if (take(parser, "..")) {
        step->axis = AXIS_PARENT;
        return part;
    }
    if (take(parser, ".")) {
        step->axis = AXIS_SELF;
        return part;
    }
    if (!take_axis(parser, step) || !take_test(parser, step) ||
        !take_predicates(parser, part, false))
        return 0;
    return part;
}

/* "a/b//c" behind whatever came before, as operands of `path`. */
static bool take_relative(struct parser *parser, uint16_t path)
{
    do {
        uint16_t step;

        if (looking_at(parser, "//"))
            return false;
        step = take_step(parser);
        if (!step)
            return false;
        add_operand(parser, path, step);
        if (looking_at(parser, "//")) {
            uint16_t below = add_part(parser, PART_STEP);
            if (!below)
                return false;
            part_at(parser, below)->axis = AXIS_DESCENDANT_OR_SELF;
            part_at(parser, below)->test = TEST_NODE;
            add_operand(parser, path, below);
            take(parser, "/");
        }
    } while (take(parser, "/"));
    return true;
}

/* May a step begin here? */
static bool is_step_start(struct parser *parser)
{
    skip_blanks(parser);
    return parser->rest.size &&
           (name_size(parser->rest) > 0 || memchr("@*.", parser->rest.at[0], 3));
}

static uint16_t take_path(struct parser *parser)
{
    uint16_t path = add_part(parser, PART_PATH);

    if (!path)
        return 0;
    if (looking_at(parser, "//")) {
        uint16_t below = add_part(parser, PART_STEP);
        if (!below)
            return 0;
        part_at(parser, below)->axis = AXIS_DESCENDANT_OR_SELF;
        part_at(parser, below)->test = TEST_NODE;
        add_operand(parser, path, below);
        part_at(parser, path)->is_absolute = true;
        take(parser, "//");
        return take_relative(parser, path) ? path : 0;
    }
    if (take(parser, "/")) {
        part_at(parser, path)->is_absolute = true;
        if (!is_step_start(parser))
            return path;
    }
    return take_relative(parser, path) ? path : 0;
}

static uint16_t take_call(struct parser *parser, enum function function)
{
    uint16_t call = add_part(parser, PART_CALL);
    size_t count = 0;

    if (!call)
        return 0;
    part_at(parser, call)->function = (uint8_t)function;
    parser->rest = span_from(parser->rest, strlen(calls[function].name));
    if (!take(parser, "("))
        return 0;
    while (!looking_at(parser, ")")) {
        uint16_t argument;
        if (count && !take(parser, ","))
            return 0;
        argument = take_or(parser);
        if (!argument || ++count > calls[function].most)
            return 0;
        add_operand(parser, call, argument);
    }
    return take(parser, ")") && count >= calls[function].least ? call : 0;
}

/* Is it the name of a function with its parenthesis? */
static bool is_call(struct parser *parser, enum function *function)
{
    size_t size = name_size(parser->rest), after = size;

    while (after < parser->rest.size && parser->rest.at[after] == ' ')
        after++;
    if (size == 0 || after == parser->rest.size || parser->rest.at[after] != '(')
        return false;
    for (unsigned i = 0; i < CALLS; i++)
        if (span_equal(span_slice(parser->rest, 0, size), span_text(calls[i].name))) {
            *function = (enum function)i;
            return true;
        }
    return false;
}

static uint16_t take_number(struct parser *parser)
{
    char text[32];
    size_t size = 0;
    uint16_t part;

    while (size < parser->rest.size && size + 1 < sizeof text &&
           memchr("0123456789.", parser->rest.at[size], 11))
        size++;
    memcpy(text, parser->rest.at, size);
    text[size] = 0;
    part = add_part(parser, PART_NUMBER);
    if (part)
        part_at(parser, part)->number = strtod(text, NULL);
    parser->rest = span_from(parser->rest, size);
    return part;
}

static uint16_t take_string(struct parser *parser)
{
    char quote = parser->rest.at[0];
    struct span inside = span_from(parser->rest, 1);
    size_t size = span_find_byte(inside, quote);
    uint16_t part = size < inside.size ? add_part(parser, PART_STRING) : 0;

    if (!part)
        return 0;
    part_at(parser, part)->text = span_slice(inside, 0, size);
    parser->rest = span_from(inside, size + 1);
    return part;
}

static uint16_t take_primary(struct parser *parser)
{
    enum function function = CALL_POSITION;
    uint16_t part, filter;

    skip_blanks(parser);
    if (!parser->rest.size)
        return 0;
    if (take(parser, "(")) {
        part = take_or(parser);
        if (!part || !take(parser, ")"))
            return 0;
    } else if (memchr("'\"", parser->rest.at[0], 2)) {
        part = take_string(parser);
    } else if ((parser->rest.at[0] >= '0' && parser->rest.at[0] <= '9') ||
               (parser->rest.size > 1 && parser->rest.at[0] == '.' && parser->rest.at[1] >= '0' &&
                parser->rest.at[1] <= '9')) {
        part = take_number(parser);
    } else if (is_call(parser, &function)) {
        part = take_call(parser, function);
    } else {
        return take_path(parser);
    }
    if (!part || (!looking_at(parser, "[") && !looking_at(parser, "/")))
        return part;
    filter = add_part(parser, PART_FILTER);
    if (!filter)
        return 0;
    add_operand(parser, filter, part);
    if (!take_predicates(parser, filter, true))
        return 0;
    if (looking_at(parser, "//")) {
        uint16_t below = add_part(parser, PART_STEP);
        if (!below)
            return 0;
        part_at(parser, below)->axis = AXIS_DESCENDANT_OR_SELF;
        part_at(parser, below)->test = TEST_NODE;
        add_operand(parser, filter, below);
        take(parser, "/");
    }
    if (take(parser, "/") && !take_relative(parser, filter))
        return 0;
    return filter;
}

static uint16_t take_union(struct parser *parser)
{
    uint16_t part = take_primary(parser);

    while (part && take(parser, "|"))
        part = add_pair(parser, PART_UNION, part, take_primary(parser));
    return part;
}

static uint16_t take_negative(struct parser *parser)
{
    unsigned signs = 0;
    uint16_t part;

    while (take(parser, "-"))
        signs++;
    part = take_union(parser);
    if (part && signs % 2) {
        uint16_t negative = add_part(parser, PART_NEGATIVE);
        if (negative)
            add_operand(parser, negative, part);
        part = negative;
    }
    return part;
}

static uint16_t take_product(struct parser *parser)
{
    uint16_t part = take_negative(parser);

    while (part) {
        if (take(parser, "*"))
            part = add_pair(parser, PART_TIMES, part, take_negative(parser));
        else if (take_word(parser, "div"))
            part = add_pair(parser, PART_DIV, part, take_negative(parser));
        else if (take_word(parser, "mod"))
            part = add_pair(parser, PART_MOD, part, take_negative(parser));
        else
            break;
    }
    return part;
}

static uint16_t take_sum(struct parser *parser)
{
    uint16_t part = take_product(parser);

    while (part) {
        if (take(parser, "+"))
            part = add_pair(parser, PART_PLUS, part, take_product(parser));
        else if (take(parser, "-"))
            part = add_pair(parser, PART_MINUS, part, take_product(parser));
        else
            break;
    }
    return part;
}

static uint16_t take_comparison(struct parser *parser)
{
    static const struct {
        const char *text;
        enum part_kind kind;
    } signs[] = {
        // the longer first
        { "!=", PART_UNEQUAL }, { "<=", PART_LESS_EQUAL }, { ">=", PART_GREATER_EQUAL },
        { "=", PART_EQUAL },    { "<", PART_LESS },        { ">", PART_GREATER },
    };
    uint16_t part = take_sum(parser);

    for (size_t i = 0; part && i < sizeof signs / sizeof *signs; i++)
        if (take(parser, signs[i].text)) {
            part = add_pair(parser, signs[i].kind, part, take_sum(parser));
            i = (size_t)-1;
        }
    return part;
}

static uint16_t take_and(struct parser *parser)
{
    uint16_t part = take_comparison(parser);

    while (part && take_word(parser, "and"))
        part = add_pair(parser, PART_AND, part, take_comparison(parser));
    return part;
}

static uint16_t take_or(struct parser *parser)
{
    uint16_t part;

    if (++parser->nesting > XPATH_NESTING)
        return 0;
    part = take_and(parser);
    while (part && take_word(parser, "or"))
        part = add_pair(parser, PART_OR, part, take_and(parser));
    parser->nesting--;
    return part;
}

/* Does it name nodes, whatever the text? */
static bool names_nodes(const struct expression *expression, uint16_t index)
{
    const struct part *part = &expression->parts[index];

    if (part->kind == PART_UNION) // left-leaning: the depth is in the first operand
        return names_nodes(expression, expression->parts[part->first].next) &&
               names_nodes(expression, part->first);
    if (part->kind == PART_FILTER)
        return names_nodes(expression, part->first);
    return part->kind == PART_PATH;
}

bool xpath_call_is_of_node(enum function function)
{
    return calls[function].least == 0 && calls[function].most == 1;
}

bool xpath_expression_read(struct expression *expression, struct span text)
{
    struct parser parser = { .expression = expression, .rest = text };

    expression->count = 1; // part 0 is none
    expression->root = take_or(&parser);
    skip_blanks(&parser);
    return expression->root && parser.rest.size == 0 && names_nodes(expression, expression->root);
}
