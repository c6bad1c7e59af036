#include "state/config_text.h"

struct cleaner {
    struct span text;
    char *to; // as long as the text; what is not copied is blank
    size_t at;
    unsigned line;
    unsigned open_lines[CONFIG_NESTING]; // where each open brace stands
    size_t depth;
    struct config_fault *fault;
};

static bool fail(struct cleaner *cleaner, unsigned line, const char *reason)
{
    *cleaner->fault = (struct config_fault){ line, reason };
    return false;
}

static bool is_one_of(char byte, struct span set)
{
    return span_find_byte(set, byte) < set.size;
}

static char peek(const struct cleaner *cleaner, size_t ahead)
{
    size_t at = cleaner->at + ahead;

    return at < cleaner->text.size ? cleaner->text.at[at] : '\0';
}

/* Steps over one byte; `keep` says whether it goes to the cleaned text. */
static bool step(struct cleaner *cleaner, bool keep)
{
    char byte = cleaner->text.at[cleaner->at];

    bool is_blank = byte == '\n' || byte == '\t' || (byte == '\r' && peek(cleaner, 1) == '\n');

    if (((unsigned char)byte < 0x20 && !is_blank) || byte == 0x7f)
        return fail(cleaner, cleaner->line, "there is a control character in it");
    cleaner->to[cleaner->at++] = keep || byte == '\n' ? byte : ' ';
    if (byte == '\n')
        cleaner->line++;
    return true;
}

static bool skip_line_comment(struct cleaner *cleaner)
{
    while (cleaner->at < cleaner->text.size && peek(cleaner, 0) != '\n') {
        if (!step(cleaner, false))
            return false;
    }
    return true;
}

static bool skip_block_comment(struct cleaner *cleaner)
{
    unsigned begun = cleaner->line;
    const char *end;
    size_t after;

    end = memmem(cleaner->text.at + cleaner->at + 2, cleaner->text.size - cleaner->at - 2, "*/", 2);
    if (!end)
        return fail(cleaner, begun, "this comment has no end");
    after = (size_t)(end - cleaner->text.at) + 2;
    while (cleaner->at < after) {
        if (!step(cleaner, false))
            return false;
    }
    return true;
}

static bool is_variable(const struct cleaner *cleaner)
{
    return peek(cleaner, 0) == '$' && peek(cleaner, 1) == '{';
}

static const char no_variables[] = "${...} is not taken: there are no variables here";

static bool copy_string(struct cleaner *cleaner)
{
    char quote = peek(cleaner, 0);
    unsigned begun = cleaner->line;

    if (!step(cleaner, true))
        return false;
    while (cleaner->at < cleaner->text.size) {
        char byte = peek(cleaner, 0);

        if (quote == '"' && is_variable(cleaner))
            return fail(cleaner, cleaner->line, no_variables);
        if (byte == '\n')
            return fail(cleaner, begun, "this string has no end on its line");
        if (byte == '\\') {
            // What is a code of a character to libconfuse could be a NUL.
            if (quote == '"' && !is_one_of(peek(cleaner, 1), SPAN("\\\"'$")))
                return fail(cleaner, cleaner->line,
                            "a backslash may stand only before \\, \", ' or $");
            if (!step(cleaner, true))
                return false;
            if (cleaner->at == cleaner->text.size || peek(cleaner, 0) == '\n')
                continue;
        }
        if (!step(cleaner, true))
            return false;
        if (byte == quote)
            return true;
    }
    return fail(cleaner, begun, "this string has no end");
}

/* A word without quotes, as libconfuse cuts it: `//` and `#` begin a comment only in front. */
static bool copy_word(struct cleaner *cleaner)
{
    while (cleaner->at < cleaner->text.size) {
        char byte = peek(cleaner, 0);

        if (is_one_of(byte, SPAN(" \t\r\n#\"'={}(),")) || (byte == '+' && peek(cleaner, 1) == '='))
            return true;
        if (byte == '*' || byte == '+')
            return fail(cleaner, cleaner->line,
                        "text with * or + in it must stand in double quotes");
        if (is_variable(cleaner))
            return fail(cleaner, cleaner->line, no_variables);
        if (!step(cleaner, true))
            return false;
    }
    return true;
}

static bool copy_brace(struct cleaner *cleaner)
{
    if (peek(cleaner, 0) == '{') {
        if (cleaner->depth == CONFIG_NESTING)
            return fail(cleaner, cleaner->line, "braces are nested too deeply");
        cleaner->open_lines[cleaner->depth++] = cleaner->line;
    } else {
        if (cleaner->depth == 0)
            return fail(cleaner, cleaner->line, "this } closes nothing");
        cleaner->depth--;
    }
    return step(cleaner, true);
}

static bool copy_next(struct cleaner *cleaner)
{
    switch (peek(cleaner, 0)) {
    case ' ':
    case '\t':
    case '\n':
    case '\r':
        return step(cleaner, false);
    case '#':
        return skip_line_comment(cleaner);
    case '/':
        if (peek(cleaner, 1) == '/')
            return skip_line_comment(cleaner);
        if (peek(cleaner, 1) == '*')
            return skip_block_comment(cleaner);
        return copy_word(cleaner);
    case '"':
    case '\'':
        return copy_string(cleaner);
    case '{':
    case '}':
        return copy_brace(cleaner);
    case '+':
        if (peek(cleaner, 1) != '=')
            return copy_word(cleaner);
        if (!step(cleaner, true))
            return false;
        return step(cleaner, true);
    case '=':
    case ',':
    case '(':
    case ')':
        return step(cleaner, true);
    default:
        return copy_word(cleaner);
    }
}

bool config_text_clean(struct span text, char *to, struct config_fault *fault)
{
    struct cleaner cleaner = { .text = text, .to = to, .line = 1, .fault = fault };

    to[text.size] = '\0';
    if (span_starts(text, SPAN("\xef\xbb\xbf"))) { // a byte order mark, as some editors write
        memset(to, ' ', 3);
        cleaner.at = 3;
    }
    while (cleaner.at < text.size) {
        if (!copy_next(&cleaner))
            return false;
    }
    if (cleaner.depth > 0)
        return fail(&cleaner, cleaner.open_lines[cleaner.depth - 1], "this { is never closed");
    return true;
}
