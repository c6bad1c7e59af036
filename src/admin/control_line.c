#include "admin/control_line.h"

#include "base/log.h"

enum { WORDS = 4 };

static const struct {
    const char *name;
    size_t least, most; // words behind it
} verbs[] = {
    [CONTROL_STATUS] = { "status", 0, 1 },   [CONTROL_RELOAD] = { "reload", 0, 0 },
    [CONTROL_LOG] = { "log", 0, 0 },         [CONTROL_PAUSE] = { "pause", 1, 2 },
    [CONTROL_ALLOW] = { "allow", 2, 3 },     [CONTROL_ENROLLED] = { "enrolled", 0, 0 },
    [CONTROL_LEARNED] = { "learned", 0, 0 }, [CONTROL_ENROL] = { "enrol", 3, 3 },
    [CONTROL_UNENROL] = { "unenrol", 2, 2 }, [CONTROL_FORGET] = { "forget", 1, 1 },
};

/* Words parted by one blank, none empty. Zero: it is not so, or there are too many. */
static size_t split(struct span line, struct span words[WORDS])
{
    size_t count = 0;

    for (;;) {
        size_t blank = span_find_byte(line, ' ');

        if (blank == 0 || line.size == 0 || count == WORDS)
            return 0;
        words[count++] = span_slice(line, 0, blank);
        if (blank == line.size)
            return count;
        line = span_from(line, blank + 1);
    }
}

static enum error_kind take_time(struct control_request *request, struct span word,
                                 bool may_be_always, struct error *error)
{
    uint64_t ms;

    if (span_equal(word, SPAN("off"))) {
        request->for_ms = 0;
        return ERROR_NONE;
    }
    if (may_be_always && span_equal(word, SPAN("always"))) {
        request->for_ms = CONTROL_ALWAYS_MS;
        return ERROR_NONE;
    }
    if (!span_to_u64(word, &ms) || ms == 0)
        return error_set(error, ERROR_SYNTAX, "no time is given");
    if (ms > CONTROL_LONGEST_MS)
        return error_set(error, ERROR_LIMIT, "366 days are the longest time");
    request->for_ms = ms;
    return ERROR_NONE;
}

/* "any" or 16 hexadecimal digits, as they are shown. */
static enum error_kind take_family(struct control_request *request, struct span word,
                                   struct error *error)
{
    request->family = 0;
    if (span_equal(word, SPAN("any")))
        return ERROR_NONE;
    for (size_t i = 0; i < word.size && word.size == 16; i++) {
        size_t digit = span_find_byte(SPAN("0123456789abcdef"), word.at[i]);

        if (digit == 16)
            return error_set(error, ERROR_SYNTAX, "a family is \"any\" or 16 hexadecimal digits");
        request->family = request->family << 4 | digit;
    }
    if (request->family == 0)
        return error_set(error, ERROR_SYNTAX, "a family is \"any\" or 16 hexadecimal digits");
    return ERROR_NONE;
}

static enum error_kind take_enrolment(struct control_request *request, const struct span *words,
                                      struct error *error)
{
    enum error_kind kind = take_family(request, words[1], error);

    request->client = words[0];
    if (kind != ERROR_NONE || request->verb == CONTROL_UNENROL)
        return kind;
    kind = take_time(request, words[2], true, error);
    if (kind == ERROR_NONE && request->for_ms == 0)
        return error_set(error, ERROR_SYNTAX, "no time is given");
    return kind;
}

static enum error_kind take_words(struct control_request *request, const struct span *words,
                                  size_t count, struct error *error)
{
    switch (request->verb) {
    case CONTROL_STATUS:
        if (count == 1 && !span_equal(words[0], SPAN("json")))
            return error_set(error, ERROR_SYNTAX, "status knows only \"json\"");
        request->wants_json = count == 1;
        return ERROR_NONE;
    case CONTROL_PAUSE:
        if (count == 2)
            request->client = words[1];
        return take_time(request, words[0], false, error);
    case CONTROL_ALLOW:
        request->host = words[0];
        if (count == 3)
            request->client = words[2];
        return take_time(request, words[1], true, error);
    case CONTROL_ENROL:
    case CONTROL_UNENROL:
        return take_enrolment(request, words, error);
    case CONTROL_FORGET:
        request->host = words[0];
        return ERROR_NONE;
    default:
        return ERROR_NONE;
    }
}

enum error_kind control_parse(struct control_request *out, struct span line, struct error *error)
{
    struct control_request request = { .verb = CONTROL_STATUS };
    struct span words[WORDS];
    size_t count, verb = 0;
    enum error_kind kind;
    char text[64];

    if (line.size > CONTROL_LINE_BYTES)
        return error_set(error, ERROR_LIMIT, "a line of more than %d bytes", CONTROL_LINE_BYTES);
    for (size_t i = 0; i < line.size; i++)
        if ((unsigned char)line.at[i] < 0x20 || (unsigned char)line.at[i] > 0x7e)
            return error_set(error, ERROR_SYNTAX, "a line with more than plain text");
    count = split(line, words);
    if (count == 0)
        return error_set(error, ERROR_SYNTAX, "words are parted by one blank, four at most");
    while (verb < sizeof verbs / sizeof *verbs &&
           !span_equal(words[0], span_text(verbs[verb].name)))
        verb++;
    if (verb == sizeof verbs / sizeof *verbs)
        return error_set(error, ERROR_SYNTAX, "\"%s\" is not known here",
                         log_text(text, sizeof text, words[0]));
    if (count - 1 < verbs[verb].least || count - 1 > verbs[verb].most)
        return error_set(error, ERROR_SYNTAX, "%s with %zu words behind it", verbs[verb].name,
                         count - 1);
    request.verb = (enum control_verb)verb;
    kind = take_words(&request, words + 1, count - 1, error);
    if (kind == ERROR_NONE)
        *out = request;
    return kind;
}
