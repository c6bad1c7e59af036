#include "filter/json_tree.h"

#include <stdlib.h>

#include "base/utf8.h"

/* What may stand at the place under examination. */
enum state { WANT_VALUE, WANT_FIRST, WANT_KEY, WANT_MORE };

struct reader {
    struct json_tree *tree;
    struct span text;
    size_t at;
    uint32_t parent; // UINT32_MAX: outermost
    uint32_t depth;
    uint32_t key, key_size;
    enum state state;
};

static void skip_blanks(struct reader *reader)
{
    while (reader->at < reader->text.size && memchr(" \t\r\n", reader->text.at[reader->at], 4))
        reader->at++;
}

/* From the quote at `at` to behind its end; 0: it has none, or control bytes in it. */
static size_t string_end(struct span text, size_t at)
{
    for (size_t i = at + 1; i < text.size; i++) {
        uint8_t c = (uint8_t)text.at[i];
        if (c == '"')
            return i + 1;
        if (c == '\\')
            i++;
        else if (c < 0x20)
            return 0;
    }
    return 0;
}

static size_t number_end(struct span text, size_t at)
{
    size_t i = at, digits;

    i += text.at[i] == '-';
    for (digits = i; i < text.size && text.at[i] >= '0' && text.at[i] <= '9';)
        i++;
    if (i == digits)
        return 0;
    if (i < text.size && text.at[i] == '.') {
        for (digits = ++i; i < text.size && text.at[i] >= '0' && text.at[i] <= '9';)
            i++;
        if (i == digits)
            return 0;
    }
    if (i < text.size && (text.at[i] == 'e' || text.at[i] == 'E')) {
        i++;
        i += i < text.size && (text.at[i] == '+' || text.at[i] == '-');
        for (digits = i; i < text.size && text.at[i] >= '0' && text.at[i] <= '9';)
            i++;
        if (i == digits)
            return 0;
    }
    return i;
}

static size_t word_end(struct span text, size_t at)
{
    static const char *const words[] = { "true", "false", "null" };

    for (size_t i = 0; i < 3; i++)
        if (span_starts(span_from(text, at), span_text(words[i])))
            return at + strlen(words[i]);
    return 0;
}

static struct json_value *value_at(struct reader *reader, uint32_t index)
{
    return &VECTOR_AT(reader->tree->values, struct json_value, index);
}

/* Whatever follows a whole value. */
static void after_value(struct reader *reader)
{
    reader->key = reader->key_size = 0;
    reader->state = WANT_MORE;
}

/* The container under examination ends at `end`. */
static void close_container(struct reader *reader, size_t end)
{
    struct json_value *value = value_at(reader, reader->parent);

    value->end = (uint32_t)end;
    value->after = (uint32_t)reader->tree->values.count;
    reader->parent = value->parent;
    reader->depth--;
    after_value(reader);
}

static enum json_result take_value(struct reader *reader)
{
    struct json_value value = { .start = (uint32_t)reader->at,
                                .key = reader->key,
                                .key_size = reader->key_size,
                                .parent = reader->parent };
    uint32_t index = (uint32_t)reader->tree->values.count;
    char c = reader->text.at[reader->at];
    size_t end = 0;

    if (index == JSON_VALUES)
        return JSON_TOO_MUCH;
    if (c == '{' || c == '[') {
        value.kind = c == '{' ? JSON_OBJECT : JSON_ARRAY;
        if (++reader->depth > JSON_DEPTH)
            return JSON_TOO_MUCH;
        *VECTOR_ADD(reader->tree->values, struct json_value) = value;
        reader->parent = index;
        reader->key = reader->key_size = 0;
        reader->state = WANT_FIRST;
        reader->at++;
        return JSON_READ;
    }
    if (c == '"') {
        value.kind = JSON_STRING;
        end = string_end(reader->text, reader->at);
    } else if (c == '-' || (c >= '0' && c <= '9')) {
        value.kind = JSON_NUMBER;
        end = number_end(reader->text, reader->at);
    } else {
        value.kind = JSON_WORD;
        end = word_end(reader->text, reader->at);
    }
    if (end == 0)
        return JSON_NONE;
    value.end = (uint32_t)end;
    value.after = index + 1;
    *VECTOR_ADD(reader->tree->values, struct json_value) = value;
    reader->at = end;
    after_value(reader);
    return JSON_READ;
}

/* `"key" :` */
static enum json_result take_key(struct reader *reader)
{
    size_t start = reader->at, end;

    if (reader->text.at[start] != '"')
        return JSON_NONE;
    end = string_end(reader->text, start);
    if (end == 0)
        return JSON_NONE;
    reader->key = (uint32_t)start + 1;
    reader->key_size = (uint32_t)(end - start - 2);
    reader->at = end;
    skip_blanks(reader);
    if (reader->at == reader->text.size || reader->text.at[reader->at] != ':')
        return JSON_NONE;
    reader->at++;
    reader->state = WANT_VALUE;
    return JSON_READ;
}

/* One step inside of the outermost value. */
static enum json_result step(struct reader *reader)
{
    bool in_object =
        reader->parent != UINT32_MAX && value_at(reader, reader->parent)->kind == JSON_OBJECT;
    char c = reader->text.at[reader->at];

    switch (reader->state) {
    case WANT_VALUE:
        return take_value(reader);
    case WANT_FIRST:
        if (c == (in_object ? '}' : ']')) {
            close_container(reader, ++reader->at);
            return JSON_READ;
        }
        return in_object ? take_key(reader) : take_value(reader);
    case WANT_KEY:
        return take_key(reader);
    case WANT_MORE:
        if (c == ',') {
            reader->at++;
            reader->state = in_object ? WANT_KEY : WANT_VALUE;
            return JSON_READ;
        }
        if (c != (in_object ? '}' : ']'))
            return JSON_NONE;
        close_container(reader, ++reader->at);
        return JSON_READ;
    }
    return JSON_NONE;
}

/* "name(" in front of the value: where it ends, or 0. */
static size_t call_end(struct span text)
{
    size_t i = 0;

    while (i < text.size && memchr(" \t\r\n;", text.at[i], 5))
        i++;
    if (span_starts(span_from(text, i), SPAN("/**/")))
        i += 4;
    while (i < text.size && i < 256 &&
           ((ascii_lower(text.at[i]) >= 'a' && ascii_lower(text.at[i]) <= 'z') ||
            (text.at[i] >= '0' && text.at[i] <= '9') || memchr("_$.", text.at[i], 3)))
        i++;
    return i > 0 && i < text.size && text.at[i] == '(' ? i + 1 : 0;
}

/* Is nothing left but what may end a call? */
static bool is_call_over(struct span rest)
{
    bool is_closed = false;

    for (size_t i = 0; i < rest.size; i++) {
        if (rest.at[i] == ')' && !is_closed)
            is_closed = true;
        else if (!memchr(" \t\r\n;", rest.at[i], 5))
            return false;
    }
    return is_closed;
}

enum json_result json_tree_read(struct json_tree *tree, struct span text)
{
    struct reader reader = { .tree = tree, .text = text, .parent = UINT32_MAX };
    size_t call = 0;

    if (!text.at)
        reader.text = text = SPAN("");
    *tree = (struct json_tree){ .text = text };
    if (text.size > UINT32_MAX / 2)
        return JSON_TOO_MUCH;
    if (span_starts(text, SPAN("\xef\xbb\xbf")))
        reader.at = 3;
    skip_blanks(&reader);
    if (reader.at < text.size && !memchr("{[\"-0123456789", text.at[reader.at], 14) &&
        !word_end(text, reader.at))
        reader.at = call = call_end(text);
    for (;;) {
        enum json_result result;

        skip_blanks(&reader);
        if (reader.parent == UINT32_MAX && reader.state == WANT_MORE) {
            if (call)
                return is_call_over(span_from(text, reader.at)) ? JSON_READ : JSON_NONE;
            if (reader.at == text.size)
                return JSON_READ;
            reader.state = WANT_VALUE; // the next line of JSON
        }
        if (reader.at >= text.size)
            return JSON_NONE;
        result = step(&reader);
        if (result != JSON_READ)
            return result;
    }
}

void json_tree_done(struct json_tree *tree)
{
    vector_done(&tree->values);
}

/* ---- strings ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "\u12ab" at text.at[at]: its number, or -1. */
static int32_t unit_at(struct span text, size_t at)
{
    int32_t unit = 0;

    if (at + 6 > text.size || text.at[at] != '\\' || text.at[at + 1] != 'u')
        return -1;
    for (size_t i = at + 2; i < at + 6; i++) {
        int digit = hex_digit(text.at[i]);
        if (digit < 0)
            return -1;
        unit = unit << 4 | digit;
    }
    return unit;
}

/* Decodes the character at written.at[*at] into `to` (4 bytes); *at is moved behind it. */
static size_t next_character(struct span written, size_t *at, char *to)
{
    static const char from[] = "bfnrt", into[] = "\b\f\n\r\t";
    int32_t unit = unit_at(written, *at), low;
    const char *escape;

    if (unit >= 0) {
        *at += 6;
        if (unit >= 0xd800 && unit < 0xdc00 && (low = unit_at(written, *at)) >= 0xdc00 &&
            low < 0xe000) {
            *at += 6;
            return utf8_put(to, 0x10000u + ((uint32_t)(unit - 0xd800) << 10) +
                                    (uint32_t)(low - 0xdc00));
        }
        return utf8_put(to, (uint32_t)unit);
    }
    if (written.at[*at] == '\\' && *at + 1 < written.size) {
        char c = written.at[*at + 1];
        *at += 2;
        escape = memchr(from, c, sizeof from - 1);
        to[0] = escape ? into[escape - from] : c;
        return 1;
    }
    to[0] = written.at[(*at)++];
    return 1;
}

bool json_string_is(struct span written, struct span text, bool anywhere)
{
    char *decoded;
    size_t size = 0;
    bool result;

    // What is written takes as many bytes as what it stands for, or up to six ("\u0041") for one.
    if (!anywhere && (written.size < text.size || written.size / 6 > text.size))
        return false;
    if (span_find_byte(written, '\\') == written.size)
        return anywhere ? text.size == 0 || span_find(written, text) < written.size
                        : span_equal(written, text);
    decoded = malloc(written.size + 4);
    if (!decoded)
        abort(); // out of memory
    for (size_t at = 0; at < written.size;)
        size += next_character(written, &at, decoded + size);
    result = anywhere ? text.size == 0 || span_find(span_of(decoded, size), text) < size
                      : span_equal(span_of(decoded, size), text);
    free(decoded);
    return result;
}
