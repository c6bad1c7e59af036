#include "html/selector.h"

#include "base/log.h"
#include "html/program.h"
#include "html/scan.h"

#include <stdlib.h>

struct reader {
    struct selector_set *set;
    struct span text; // what is left
    struct error *error;
    enum selector_kind kind; // the hardest thing seen
    int nesting;
    struct test test; // of the condition just read
    bool has_test;
    struct buffer word; // the identifier or string just read, without escapes
};

static bool fail(struct reader *reader, const char *what)
{
    char where[40];

    if (reader->kind != SELECTOR_INVALID)
        error_set(reader->error, ERROR_SYNTAX, "%s at \"%s\"", what,
                  log_text(where, sizeof where, reader->text));
    reader->kind = SELECTOR_INVALID;
    return false;
}

static void needs(struct reader *reader, enum selector_kind kind)
{
    if (reader->kind < kind)
        reader->kind = kind;
}

static bool next_is(const struct reader *reader, char c)
{
    return reader->text.size && reader->text.at[0] == c;
}

static void step(struct reader *reader, size_t size)
{
    reader->text = span_from(reader->text, size);
}

static bool take(struct reader *reader, char c)
{
    if (!next_is(reader, c))
        return false;
    step(reader, 1);
    return true;
}

static bool skip_spaces(struct reader *reader)
{
    bool any = false;
    while (reader->text.size && scan_is(reader->text.at[0], SCAN_SPACE)) {
        step(reader, 1);
        any = true;
    }
    return any;
}

/* ---- identifiers and strings (CSS Syntax section 4) ---- */

static int hexadecimal(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_name_byte(char c)
{
    return scan_is(c, SCAN_LETTER) || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           (unsigned char)c >= 0x80;
}

static void add_byte(struct reader *reader, char c)
{
    if (!buffer_append(&reader->word, span_of(&c, 1)))
        fail(reader, "too long");
}

static void add_point(struct reader *reader, uint32_t point)
{
    if (point == 0 || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
        point = 0xfffd;
    if (point < 0x80) {
        add_byte(reader, (char)point);
        return;
    }
    if (point < 0x800) {
        add_byte(reader, (char)(0xc0 | point >> 6));
    } else {
        if (point < 0x10000) {
            add_byte(reader, (char)(0xe0 | point >> 12));
        } else {
            add_byte(reader, (char)(0xf0 | point >> 18));
            add_byte(reader, (char)(0x80 | (point >> 12 & 0x3f)));
        }
        add_byte(reader, (char)(0x80 | (point >> 6 & 0x3f)));
    }
    add_byte(reader, (char)(0x80 | (point & 0x3f)));
}

/* What follows a backslash. */
static void read_escape(struct reader *reader)
{
    uint32_t point = 0;
    int digits = 0;

    while (digits < 6 && reader->text.size && hexadecimal(reader->text.at[0]) >= 0) {
        point = point * 16 + (uint32_t)hexadecimal(reader->text.at[0]);
        step(reader, 1);
        digits++;
    }
    if (digits == 0) {
        if (reader->text.size == 0) {
            add_point(reader, 0xfffd);
            return;
        }
        add_byte(reader, reader->text.at[0]);
        step(reader, 1);
        return;
    }
    add_point(reader, point);
    if (reader->text.size && scan_is(reader->text.at[0], SCAN_SPACE))
        step(reader, 1);
}

static bool starts_name(const struct reader *reader)
{
    struct span text = reader->text;

    if (text.size == 0)
        return false;
    if (text.at[0] == '-')
        return text.size > 1 &&
               (text.at[1] == '-' || text.at[1] == '\\' ||
                (is_name_byte(text.at[1]) && !(text.at[1] >= '0' && text.at[1] <= '9')));
    if (text.at[0] == '\\')
        return text.size > 1 && text.at[1] != '\n';
    return is_name_byte(text.at[0]) && !(text.at[0] >= '0' && text.at[0] <= '9');
}

/* An identifier, or with `any_start` a hash's name, which may begin with a digit. */
static bool read_name(struct reader *reader, bool any_start)
{
    reader->word.size = 0;
    if (!starts_name(reader) &&
        !(any_start && reader->text.size && is_name_byte(reader->text.at[0])))
        return fail(reader, "no name");
    while (reader->text.size) {
        char c = reader->text.at[0];
        if (c == '\\' && reader->text.size > 1 && reader->text.at[1] != '\n') {
            step(reader, 1);
            read_escape(reader);
        } else if (is_name_byte(c)) {
            add_byte(reader, c);
            step(reader, 1);
        } else {
            break;
        }
    }
    return reader->kind != SELECTOR_INVALID;
}

static bool read_string(struct reader *reader)
{
    char quote = reader->text.at[0];

    reader->word.size = 0;
    step(reader, 1);
    while (reader->text.size) {
        char c = reader->text.at[0];
        step(reader, 1);
        if (c == quote)
            return reader->kind != SELECTOR_INVALID;
        if (c == '\n')
            break;
        if (c != '\\')
            add_byte(reader, c);
        else if (next_is(reader, '\n'))
            step(reader, 1);
        else
            read_escape(reader);
    }
    return fail(reader, "a string without an end");
}

static struct span word(const struct reader *reader)
{
    return reader->word.at ? buffer_span(&reader->word) : SPAN("");
}

static void set_test(struct reader *reader, const struct test *test)
{
    reader->test = *test;
    reader->has_test = true;
}

static void set_word_test(struct reader *reader, struct test *test)
{
    test->at = program_keep(reader->set, word(reader));
    test->size = (uint32_t)reader->word.size;
    set_test(reader, test);
}

/* ---- attributes ---- */

/* Attributes whose values HTML compares without case (HTML section 4.16.2). */
static bool compares_without_case(struct span name)
{
    static const char *const names[] = {
        "accept",     "accept-charset", "align",     "alink",    "axis",     "bgcolor", "charset",
        "checked",    "clear",          "codetype",  "color",    "compact",  "declare", "defer",
        "dir",        "direction",      "disabled",  "enctype",  "face",     "frame",   "hreflang",
        "http-equiv", "lang",           "language",  "link",     "media",    "method",  "multiple",
        "nohref",     "noresize",       "noshade",   "nowrap",   "readonly", "rel",     "rev",
        "rules",      "scope",          "scrolling", "selected", "shape",    "target",  "text",
        "type",       "valign",         "valuetype", "vlink",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (span_equal_nocase(name, span_text(names[i])))
            return true;
    return false;
}

/* "prefix|", of which only "*|" and "|" can be known. False: it is wrong. */
static bool skip_namespace(struct reader *reader, bool *is_none)
{
    struct span text = reader->text;

    *is_none = false;
    if (text.size > 1 && text.at[0] == '*' && text.at[1] == '|' &&
        !(text.size > 2 && text.at[2] == '=')) {
        step(reader, 2);
    } else if (text.size > 0 && text.at[0] == '|' && !(text.size > 1 && text.at[1] == '|')) {
        step(reader, 1);
        *is_none = true;
    }
    return true;
}

static bool read_operator(struct reader *reader, enum test_kind *kind)
{
    static const struct {
        char sign;
        enum test_kind kind;
    } operators[] = {
        { '~', TEST_WORD },   { '|', TEST_LANGUAGE },  { '^', TEST_PREFIX },
        { '$', TEST_SUFFIX }, { '*', TEST_SUBSTRING },
    };
    *kind = TEST_EQUALS;
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
        if (take(reader, operators[i].sign))
            *kind = operators[i].kind;
    return take(reader, '=') || fail(reader, "no operator");
}

/* Does no value ever pass? */
static bool is_hopeless(const struct reader *reader, enum test_kind kind)
{
    struct span text = word(reader);

    if (kind == TEST_WORD) {
        for (size_t i = 0; i < text.size; i++)
            if (scan_is(text.at[i], SCAN_SPACE))
                return true;
        return text.size == 0;
    }
    return text.size == 0 && (kind == TEST_PREFIX || kind == TEST_SUFFIX || kind == TEST_SUBSTRING);
}

static bool read_flag(struct reader *reader, struct test *test)
{
    if (take(reader, 'i') || take(reader, 'I'))
        test->ignores_case = true;
    else if (take(reader, 's') || take(reader, 'S'))
        test->ignores_case = false;
    else
        return true;
    skip_spaces(reader);
    return true;
}

static bool read_attribute(struct reader *reader)
{
    struct test test = { .kind = TEST_HAS };
    enum test_kind kind;
    bool is_none;

    skip_spaces(reader);
    if (!skip_namespace(reader, &is_none) || !read_name(reader, false))
        return false;
    program_add_name(reader->set, word(reader));
    test.number = tag_key(word(reader));
    test.ignores_case = compares_without_case(word(reader));
    skip_spaces(reader);
    if (take(reader, ']')) {
        test.ignores_case = false;
        set_test(reader, &test);
        return true;
    }
    if (!read_operator(reader, &kind))
        return false;
    skip_spaces(reader);
    if (next_is(reader, '"') || next_is(reader, '\'')) {
        if (!read_string(reader))
            return false;
    } else if (!read_name(reader, false)) {
        return false;
    }
    test.kind = (uint8_t)(is_hopeless(reader, kind) ? TEST_NEVER : kind);
    skip_spaces(reader);
    if (!read_flag(reader, &test) || !take(reader, ']'))
        return fail(reader, "no \"]\"");
    set_word_test(reader, &test);
    return true;
}

/* ---- pseudo-classes ---- */

static bool read_list(struct reader *reader, uint32_t *first, uint32_t *count);

static bool read_number(struct reader *reader, int32_t *number, bool *any)
{
    int64_t value = 0;

    *any = false;
    while (reader->text.size && reader->text.at[0] >= '0' && reader->text.at[0] <= '9') {
        value = value * 10 + (reader->text.at[0] - '0');
        if (value > 1000000000)
            value = 1000000000;
        step(reader, 1);
        *any = true;
    }
    *number = (int32_t)value;
    return *any;
}

/* An+B (CSS Syntax section 6). */
static bool read_nth(struct reader *reader, struct test *test)
{
    int32_t number, sign = 1;
    bool any;

    skip_spaces(reader);
    if (span_starts_nocase(reader->text, SPAN("odd")) ||
        span_starts_nocase(reader->text, SPAN("even"))) {
        test->step = 2;
        test->offset = ascii_lower(reader->text.at[0]) == 'o';
        step(reader, test->offset ? 3 : 4);
        return true;
    }
    if (take(reader, '-'))
        sign = -1;
    else
        take(reader, '+');
    read_number(reader, &number, &any);
    if (!take(reader, 'n') && !take(reader, 'N')) {
        test->step = 0;
        test->offset = sign * number;
        return any || fail(reader, "no number");
    }
    test->step = sign * (any ? number : 1);
    test->offset = 0;
    skip_spaces(reader);
    if (!next_is(reader, '+') && !next_is(reader, '-'))
        return true;
    sign = next_is(reader, '-') ? -1 : 1;
    step(reader, 1);
    skip_spaces(reader);
    if (!read_number(reader, &number, &any))
        return fail(reader, "no number");
    test->offset = sign * number;
    return true;
}

enum pseudo_class { // those that are decided here
    PSEUDO_NOT,
    PSEUDO_IS,
    PSEUDO_NTH_CHILD,
    PSEUDO_NTH_OF_TYPE,
    PSEUDO_FIRST_CHILD,
    PSEUDO_FIRST_OF_TYPE,
    PSEUDO_ROOT,
    PSEUDO_EMPTY,
    PSEUDO_LINK,
    PSEUDO_FOR_PAGE,
    PSEUDO_PROCEDURAL
};

static const struct pseudo {
    const char *name;
    enum pseudo_class class;
} pseudos[] = {
    { "not", PSEUDO_NOT },
    { "is", PSEUDO_IS },
    { "where", PSEUDO_IS },
    { "matches", PSEUDO_IS },
    { "-webkit-any", PSEUDO_IS },
    { "-moz-any", PSEUDO_IS },
    { "nth-child", PSEUDO_NTH_CHILD },
    { "nth-of-type", PSEUDO_NTH_OF_TYPE },
    { "first-child", PSEUDO_FIRST_CHILD },
    { "first-of-type", PSEUDO_FIRST_OF_TYPE },
    { "root", PSEUDO_ROOT },
    { "scope", PSEUDO_ROOT },
    { "empty", PSEUDO_EMPTY },
    { "link", PSEUDO_LINK },
    { "any-link", PSEUDO_LINK },
    { "has", PSEUDO_FOR_PAGE },
    { "last-child", PSEUDO_FOR_PAGE },
    { "last-of-type", PSEUDO_FOR_PAGE },
    { "nth-last-child", PSEUDO_FOR_PAGE },
    { "nth-last-of-type", PSEUDO_FOR_PAGE },
    { "only-child", PSEUDO_FOR_PAGE },
    { "only-of-type", PSEUDO_FOR_PAGE },
    { "active", PSEUDO_FOR_PAGE },
    { "autofill", PSEUDO_FOR_PAGE },
    { "blank", PSEUDO_FOR_PAGE },
    { "buffering", PSEUDO_FOR_PAGE },
    { "checked", PSEUDO_FOR_PAGE },
    { "current", PSEUDO_FOR_PAGE },
    { "default", PSEUDO_FOR_PAGE },
    { "defined", PSEUDO_FOR_PAGE },
    { "dir", PSEUDO_FOR_PAGE },
    { "disabled", PSEUDO_FOR_PAGE },
    { "enabled", PSEUDO_FOR_PAGE },
    { "focus", PSEUDO_FOR_PAGE },
    { "focus-visible", PSEUDO_FOR_PAGE },
    { "focus-within", PSEUDO_FOR_PAGE },
    { "fullscreen", PSEUDO_FOR_PAGE },
    { "future", PSEUDO_FOR_PAGE },
    { "host", PSEUDO_FOR_PAGE },
    { "host-context", PSEUDO_FOR_PAGE },
    { "hover", PSEUDO_FOR_PAGE },
    { "in-range", PSEUDO_FOR_PAGE },
    { "indeterminate", PSEUDO_FOR_PAGE },
    { "invalid", PSEUDO_FOR_PAGE },
    { "lang", PSEUDO_FOR_PAGE },
    { "local-link", PSEUDO_FOR_PAGE },
    { "modal", PSEUDO_FOR_PAGE },
    { "muted", PSEUDO_FOR_PAGE },
    { "open", PSEUDO_FOR_PAGE },
    { "optional", PSEUDO_FOR_PAGE },
    { "out-of-range", PSEUDO_FOR_PAGE },
    { "past", PSEUDO_FOR_PAGE },
    { "paused", PSEUDO_FOR_PAGE },
    { "picture-in-picture", PSEUDO_FOR_PAGE },
    { "placeholder-shown", PSEUDO_FOR_PAGE },
    { "playing", PSEUDO_FOR_PAGE },
    { "popover-open", PSEUDO_FOR_PAGE },
    { "read-only", PSEUDO_FOR_PAGE },
    { "read-write", PSEUDO_FOR_PAGE },
    { "required", PSEUDO_FOR_PAGE },
    { "seeking", PSEUDO_FOR_PAGE },
    { "stalled", PSEUDO_FOR_PAGE },
    { "state", PSEUDO_FOR_PAGE },
    { "target", PSEUDO_FOR_PAGE },
    { "target-within", PSEUDO_FOR_PAGE },
    { "user-invalid", PSEUDO_FOR_PAGE },
    { "user-valid", PSEUDO_FOR_PAGE },
    { "valid", PSEUDO_FOR_PAGE },
    { "visited", PSEUDO_FOR_PAGE },
    { "volume-locked", PSEUDO_FOR_PAGE },
    { "before", PSEUDO_FOR_PAGE }, // elements in fact, as older style sheets write them
    { "after", PSEUDO_FOR_PAGE },
    { "first-letter", PSEUDO_FOR_PAGE },
    { "first-line", PSEUDO_FOR_PAGE },
    { "-abp-contains", PSEUDO_PROCEDURAL },
    { "-abp-has", PSEUDO_PROCEDURAL },
    { "-abp-properties", PSEUDO_PROCEDURAL },
    { "contains", PSEUDO_PROCEDURAL },
    { "has-text", PSEUDO_PROCEDURAL },
    { "if", PSEUDO_PROCEDURAL },
    { "if-not", PSEUDO_PROCEDURAL },
    { "matches-attr", PSEUDO_PROCEDURAL },
    { "matches-css", PSEUDO_PROCEDURAL },
    { "matches-css-after", PSEUDO_PROCEDURAL },
    { "matches-css-before", PSEUDO_PROCEDURAL },
    { "matches-media", PSEUDO_PROCEDURAL },
    { "matches-path", PSEUDO_PROCEDURAL },
    { "matches-prop", PSEUDO_PROCEDURAL },
    { "matches-property", PSEUDO_PROCEDURAL },
    { "min-text-length", PSEUDO_PROCEDURAL },
    { "nth-ancestor", PSEUDO_PROCEDURAL },
    { "others", PSEUDO_PROCEDURAL },
    { "properties", PSEUDO_PROCEDURAL },
    { "remove", PSEUDO_PROCEDURAL },
    { "remove-attr", PSEUDO_PROCEDURAL },
    { "remove-class", PSEUDO_PROCEDURAL },
    { "shadow", PSEUDO_PROCEDURAL },
    { "style", PSEUDO_PROCEDURAL },
    { "upward", PSEUDO_PROCEDURAL },
    { "watch-attr", PSEUDO_PROCEDURAL },
    { "watch-attrs", PSEUDO_PROCEDURAL },
    { "xpath", PSEUDO_PROCEDURAL },
};

static const struct pseudo *find_pseudo(struct span name)
{
    for (size_t i = 0; i < sizeof pseudos / sizeof *pseudos; i++)
        if (span_equal_nocase(name, span_text(pseudos[i].name)))
            return &pseudos[i];
    return NULL;
}

/* Passes over what stands in parentheses, strings and escapes in it, up to the ")". What is
 * procedural in there makes all of it so. */
static bool skip_arguments(struct reader *reader)
{
    int depth = 1;

    while (reader->text.size) {
        char c = reader->text.at[0];

        if (c == '"' || c == '\'') {
            // A text to look for may have a single quote in it that ends nothing.
            size_t end = span_find_byte(span_from(reader->text, 1), c);
            step(reader, end + 1 < reader->text.size ? end + 2 : 1);
            continue;
        }
        step(reader, c == '\\' && reader->text.size > 1 ? 2 : 1);
        if (c == '(')
            depth++;
        if (c == ')' && --depth == 0)
            return true;
        if (c == ':' && starts_name(reader)) {
            const struct pseudo *pseudo;
            if (!read_name(reader, false))
                return false;
            pseudo = find_pseudo(word(reader));
            if (pseudo && pseudo->class == PSEUDO_PROCEDURAL)
                needs(reader, SELECTOR_PROCEDURAL);
        }
    }
    return fail(reader, "no \")\"");
}

static bool read_alternatives(struct reader *reader, bool is_not)
{
    struct test test = { .kind = is_not ? TEST_NONE : TEST_ANY };

    if (reader->nesting == SELECTOR_NESTING)
        return fail(reader, "nested too deep");
    reader->nesting++;
    if (!read_list(reader, &test.first, &test.count))
        return false;
    reader->nesting--;
    if (!take(reader, ')'))
        return fail(reader, "no \")\"");
    set_test(reader, &test);
    return true;
}

static bool read_nth_test(struct reader *reader, enum test_kind kind)
{
    struct test test = { .kind = (uint8_t)kind };

    if (!read_nth(reader, &test))
        return false;
    skip_spaces(reader);
    if (kind == TEST_NTH_CHILD && span_starts_nocase(reader->text, SPAN("of"))) {
        needs(reader, SELECTOR_FOR_PAGE);
        return skip_arguments(reader);
    }
    if (!take(reader, ')'))
        return fail(reader, "no \")\"");
    set_test(reader, &test);
    return true;
}

static bool read_pseudo_with(struct reader *reader, enum pseudo_class class)
{
    switch (class) {
    case PSEUDO_NOT:
    case PSEUDO_IS:
        return read_alternatives(reader, class == PSEUDO_NOT);
    case PSEUDO_NTH_CHILD:
        return read_nth_test(reader, TEST_NTH_CHILD);
    case PSEUDO_NTH_OF_TYPE:
        return read_nth_test(reader, TEST_NTH_OF_TYPE);
    case PSEUDO_FOR_PAGE:
        needs(reader, SELECTOR_FOR_PAGE);
        return skip_arguments(reader);
    case PSEUDO_PROCEDURAL:
        needs(reader, SELECTOR_PROCEDURAL);
        return skip_arguments(reader);
    default:
        return fail(reader, "no arguments are taken");
    }
}

static bool read_pseudo(struct reader *reader)
{
    const struct pseudo *pseudo;
    struct test test = { 0 };

    if (take(reader, ':')) { // a pseudo-element
        if (!read_name(reader, false))
            return false;
        needs(reader, SELECTOR_FOR_PAGE);
        return take(reader, '(') ? skip_arguments(reader) : true;
    }
    if (!read_name(reader, false))
        return false;
    pseudo = find_pseudo(word(reader));
    if (!pseudo)
        return fail(reader, "an unknown pseudo-class before");
    if (take(reader, '('))
        return read_pseudo_with(reader, pseudo->class);
    switch (pseudo->class) {
    case PSEUDO_FIRST_CHILD:
    case PSEUDO_FIRST_OF_TYPE:
        test.kind = pseudo->class == PSEUDO_FIRST_CHILD ? TEST_NTH_CHILD : TEST_NTH_OF_TYPE;
        test.step = 0;
        test.offset = 1;
        break;
    case PSEUDO_ROOT:
        test.kind = TEST_ROOT;
        break;
    case PSEUDO_EMPTY:
        test.kind = TEST_EMPTY;
        break;
    case PSEUDO_LINK:
        test.kind = TEST_LINK;
        break;
    case PSEUDO_FOR_PAGE:
        needs(reader, SELECTOR_FOR_PAGE);
        return true;
    case PSEUDO_PROCEDURAL:
        needs(reader, SELECTOR_PROCEDURAL);
        return true;
    default:
        return fail(reader, "no arguments before");
    }
    set_test(reader, &test);
    return true;
}

/* ---- compounds, combinators, lists ---- */

static bool read_type(struct reader *reader, bool *any)
{
    struct test test = { .kind = TEST_TYPE };
    struct span start = reader->text;
    bool is_none;

    *any = false;
    if (!skip_namespace(reader, &is_none))
        return false;
    if (take(reader, '*')) {
        *any = true;
    } else if (starts_name(reader)) {
        *any = true;
        if (!read_name(reader, false))
            return false;
        if (next_is(reader, '|') && !(reader->text.size > 1 && reader->text.at[1] == '|'))
            return fail(reader, "an unknown namespace before");
        test.number = tag_key(word(reader));
        set_test(reader, &test);
    } else if (reader->text.at != start.at) {
        return fail(reader, "no name");
    }
    if (is_none) { // elements of pages always have a namespace
        test = (struct test){ .kind = TEST_NEVER };
        set_test(reader, &test);
    }
    return true;
}

static bool read_simple(struct reader *reader, bool *any)
{
    struct test test = { 0 };

    *any = true;
    switch (reader->text.size ? reader->text.at[0] : '\0') {
    case '#':
    case '.':
        test.kind = next_is(reader, '#') ? TEST_ID : TEST_CLASS;
        step(reader, 1);
        if (!read_name(reader, false))
            return false;
        set_word_test(reader, &test);
        return true;
    case '[':
        step(reader, 1);
        return read_attribute(reader);
    case ':':
        step(reader, 1);
        return read_pseudo(reader);
    default:
        *any = false;
        return true;
    }
}

/* Its tests are kept when all are read: nested selectors keep theirs in between. */
static bool read_compound(struct reader *reader, uint32_t *compound)
{
    struct test tests[SELECTOR_TESTS];
    size_t count = 0, first;
    bool any, is_empty = true, good = read_type(reader, &any);

    while (good) {
        if (reader->has_test && count == SELECTOR_TESTS)
            return fail(reader, "too many conditions");
        if (reader->has_test)
            tests[count++] = reader->test;
        reader->has_test = false;
        is_empty = is_empty && !any;
        good = read_simple(reader, &any);
        if (good && !any)
            break;
    }
    if (good && is_empty)
        return fail(reader, "nothing to select");
    first = reader->set->tests_count;
    for (size_t i = 0; i < count && good; i++)
        program_add_test(reader->set, &tests[i]);
    if (good)
        *compound = program_add_compound(reader->set, first);
    return good;
}

static enum combinator read_combinator(struct reader *reader)
{
    bool spaces = skip_spaces(reader);
    enum combinator combinator = NO_COMBINATOR;

    if (take(reader, '>'))
        combinator = CHILD;
    else if (take(reader, '+'))
        combinator = NEXT_SIBLING;
    else if (take(reader, '~'))
        combinator = LATER_SIBLING;
    if (combinator != NO_COMBINATOR) {
        skip_spaces(reader);
        return combinator;
    }
    return spaces && reader->text.size && !next_is(reader, ',') && !next_is(reader, ')')
               ? DESCENDANT
               : NO_COMBINATOR;
}

static bool position_uses_empty(const struct reader *reader, uint32_t position)
{
    return reader->set->positions[position].uses_empty;
}

/* One selector without commas; *position is where it ends. */
static bool read_complex(struct reader *reader, uint32_t *position)
{
    enum combinator combinator = NO_COMBINATOR;
    uint32_t before = NO_POSITION, compound;

    skip_spaces(reader);
    for (int i = 0;; i++) {
        if (i == SELECTOR_COMPOUNDS)
            return fail(reader, "too many parts");
        if (reader->set->positions_count >= SELECTOR_POSITIONS ||
            reader->set->tests_count >= 2 * SELECTOR_POSITIONS)
            return fail(reader, "too many selectors");
        if (!read_compound(reader, &compound))
            return false;
        before = program_add_position(reader->set, compound, before, combinator);
        combinator = read_combinator(reader);
        if (combinator == NO_COMBINATOR)
            break;
        if (position_uses_empty(reader, before))
            needs(reader, SELECTOR_FOR_PAGE); // what comes after cannot wait for it
    }
    *position = before;
    return true;
}

/* The list in :is() or :not(). */
static bool read_list(struct reader *reader, uint32_t *first, uint32_t *count)
{
    struct buffer positions = { .limit_bytes = SELECTOR_LIMIT_BYTES * sizeof(uint32_t) };
    bool good;

    do {
        uint32_t position;
        good = read_complex(reader, &position) &&
               buffer_append(&positions, span_of((const char *)&position, sizeof position));
    } while (good && take(reader, ','));
    if (good) {
        *count = (uint32_t)(positions.size / sizeof(uint32_t));
        *first = program_add_alternatives(reader->set, (const uint32_t *)(const void *)positions.at,
                                          *count);
    }
    buffer_release(&positions);
    return good;
}

struct selector_set *selector_set_new(void)
{
    return program_new();
}

void selector_set_free(struct selector_set **set)
{
    program_free(set);
}

enum selector_kind selector_set_add(struct selector_set *set, struct span text, uint32_t id,
                                    struct error *error)
{
    struct reader reader = {
        .set = set,
        .text = text,
        .error = error,
        .word = { .limit_bytes = SELECTOR_LIMIT_BYTES * 3 },
    };
    struct buffer streamed = { .limit_bytes = SELECTOR_LIMIT_BYTES * sizeof(uint32_t) };
    enum selector_kind hardest = SELECTOR_STREAMED;

    if (text.size > SELECTOR_LIMIT_BYTES)
        fail(&reader, "too long");
    while (reader.kind != SELECTOR_INVALID) {
        uint32_t position;

        reader.kind = SELECTOR_STREAMED;
        if (!read_complex(&reader, &position))
            break;
        if (reader.kind > hardest)
            hardest = reader.kind;
        if (reader.kind == SELECTOR_STREAMED &&
            !buffer_append(&streamed, span_of((const char *)&position, sizeof position)))
            abort(); // each takes two bytes of the text at least
        if (reader.text.size == 0)
            break;
        if (!take(&reader, ','))
            fail(&reader, "unexpected text");
    }
    if (reader.kind == SELECTOR_INVALID)
        hardest = SELECTOR_INVALID;
    if (hardest <= SELECTOR_FOR_PAGE) {
        const uint32_t *positions = (const uint32_t *)(const void *)streamed.at;
        for (size_t i = 0; i < streamed.size / sizeof *positions; i++) {
            program_add_id(set, positions[i], id);
            set->selectors_count++;
        }
    }
    buffer_release(&reader.word);
    buffer_release(&streamed);
    return hardest;
}

void selector_set_finish(struct selector_set *set)
{
    program_finish(set);
}

size_t selector_set_count(const struct selector_set *set)
{
    return set->selectors_count;
}

size_t selector_set_bytes(const struct selector_set *set)
{
    return sizeof *set + set->tests_count * sizeof *set->tests +
           set->compounds_count * sizeof *set->compounds +
           set->positions_count * sizeof *set->positions +
           (set->alternatives_count + set->ids_count + set->listed_count) * sizeof(uint32_t) +
           set->text_size + (set->filter_mask + 1) * sizeof *set->filter +
           (set->keys_mask + 1) * (sizeof *set->keys + sizeof *set->buckets) +
           (set->attributes_mask + 1) * sizeof *set->attributes;
}

enum selector_kind selector_classify(struct span text)
{
    struct selector_set *set = selector_set_new();
    enum selector_kind kind = selector_set_add(set, text, 0, NULL);

    selector_set_free(&set);
    return kind;
}
