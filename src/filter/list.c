#include "filter/list.h"

#include "filter/request.h"

/* ---- conditions ---- */

static const char *const true_words[] = {
    "true",          "ext_ublock", "env_firefox", "cap_html_filtering", "cap_user_stylesheet",
    "cap_ipaddress", "ext_dejunk",
};

enum { CONDITION_DEPTH = 32 };

static bool is_true(struct span word)
{
    for (size_t i = 0; i < sizeof true_words / sizeof *true_words; i++)
        if (span_equal(word, span_text(true_words[i])))
            return true;
    return false;
}

static bool is_word_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* For each open parenthesis: what the current run of && gave so far, what the runs before it, and
 * whether a '!' stands in front of the parenthesis. */
struct level {
    bool all, any, is_negated;
};

bool list_condition(struct span text, bool *is_well_formed)
{
    struct level levels[CONDITION_DEPTH] = { { .all = true } };
    size_t depth = 0, i = 0;
    bool want_operand = true, is_negated = false;

    *is_well_formed = false;
    while (i < text.size) {
        char c = text.at[i];
        bool value;

        if (c == ' ' || c == '\t') {
            i++;
            continue;
        }
        if (want_operand && c == '!') {
            is_negated = !is_negated;
            i++;
            continue;
        }
        if (want_operand && c == '(') {
            if (++depth == CONDITION_DEPTH)
                return false;
            levels[depth] = (struct level){ .all = true, .is_negated = is_negated };
            is_negated = false;
            i++;
            continue;
        }
        if (!want_operand && (c == '&' || c == '|')) {
            if (i + 1 >= text.size || text.at[i + 1] != c)
                return false;
            if (c == '|') {
                levels[depth].any = levels[depth].any || levels[depth].all;
                levels[depth].all = true;
            }
            want_operand = true;
            i += 2;
            continue;
        }
        if (want_operand && is_word_byte(c)) {
            size_t size = 0;
            while (i + size < text.size && is_word_byte(text.at[i + size]))
                size++;
            value = is_true(span_slice(text, i, size));
            i += size;
        } else if (!want_operand && c == ')' && depth > 0) {
            value = levels[depth].any || levels[depth].all;
            is_negated = levels[depth].is_negated;
            depth--;
            i++;
        } else {
            return false;
        }
        levels[depth].all = levels[depth].all && value != is_negated;
        is_negated = false;
        want_operand = false;
    }
    if (want_operand || depth > 0)
        return false;
    *is_well_formed = true;
    return levels[0].any || levels[0].all;
}

/* ---- reading ---- */

struct reading { // one text: the list, or a file that it includes
    struct span text;
    uint32_t line; // of the include, when it is one
    uint8_t ifs_before;
    size_t folder_size; // of its name: up to its last '/'
    char name[LIST_INCLUDE_NAME];
};

struct state {
    struct list_summary *summary;
    const struct list_reader *reader;
    struct {
        bool was_true, is_on;
        struct span text;
        uint32_t line;
    } ifs[LIST_IF_DEPTH];
    size_t if_depth;
    size_t if_beyond; // further "!#if", past LIST_IF_DEPTH: all in them is off
    size_t bytes;     // of all texts
    struct reading readings[LIST_INCLUDE_DEPTH + 1];
    size_t depth;
    uint32_t line;
};

static void problem(struct state *state, struct span text, enum rule_reason reason)
{
    struct list_summary *summary = state->summary;

    summary->by_reason[reason]++;
    if (rule_reason_is_idle(reason))
        summary->idle++;
    else
        summary->bad++;
    if (state->reader->on_problem)
        state->reader->on_problem(state->reader->owner, text, reason, state->line);
}

static bool is_on(const struct state *state)
{
    return state->if_beyond == 0 && (state->if_depth == 0 || state->ifs[state->if_depth - 1].is_on);
}

static void include(struct state *state, struct span text)
{
    const struct list_reader *reader = state->reader;
    const struct reading *from = &state->readings[state->depth];
    struct reading *to = &state->readings[state->depth + 1];
    struct span name = span_trim(span_from(text, sizeof "!#include" - 1)), found;
    size_t size = from->folder_size + name.size;

    if (!reader->on_include || state->depth == LIST_INCLUDE_DEPTH ||
        state->summary->included == LIST_INCLUDES || size > sizeof to->name) {
        problem(state, text, REASON_INCLUDE);
        return;
    }
    memcpy(to->name, from->name, from->folder_size);
    memcpy(to->name + from->folder_size, name.at, name.size);
    if (!reader->on_include(reader->owner, span_of(to->name, size), &found) ||
        found.size > LIST_TEXT_LIMIT - state->bytes) {
        problem(state, text, REASON_INCLUDE);
        return;
    }
    while (size > 0 && to->name[size - 1] != '/')
        size--;
    to->folder_size = size;
    to->text = found;
    to->line = state->line;
    to->ifs_before = (uint8_t)state->if_depth;
    state->bytes += found.size;
    state->summary->included++;
    state->depth++;
}

static void preprocess(struct state *state, struct span text)
{
    size_t floor = state->readings[state->depth].ifs_before;

    if (span_starts(text, SPAN("!#if")) && text.size > 4 && memchr(" \t(!", text.at[4], 4)) {
        bool outer = is_on(state), is_good, value;

        value = list_condition(span_from(text, 4), &is_good);
        if (state->if_depth == LIST_IF_DEPTH || !is_good)
            problem(state, text, REASON_PREPROCESSOR);
        if (state->if_depth == LIST_IF_DEPTH) {
            state->if_beyond++;
            return;
        }
        state->ifs[state->if_depth].is_on = outer && value;
        state->ifs[state->if_depth].was_true = !outer || value;
        state->ifs[state->if_depth].text = text;
        state->ifs[state->if_depth].line = state->line;
        state->if_depth++;
    } else if (span_starts(text, SPAN("!#else"))) {
        if (state->if_beyond > 0)
            return;
        if (state->if_depth == floor) {
            problem(state, text, REASON_PREPROCESSOR);
            return;
        }
        state->ifs[state->if_depth - 1].is_on = !state->ifs[state->if_depth - 1].was_true;
        state->ifs[state->if_depth - 1].was_true = true;
    } else if (span_starts(text, SPAN("!#endif"))) {
        if (state->if_beyond > 0)
            state->if_beyond--;
        else if (state->if_depth == floor)
            problem(state, text, REASON_PREPROCESSOR);
        else
            state->if_depth--;
    } else if (span_starts(text, SPAN("!#include")) && text.size > 9 &&
               memchr(" \t", text.at[9], 2) && is_on(state)) {
        include(state, text);
    }
    // "!#safari_cb_affinity", "!### a headline": comments
}

/* "! Title: EasyList" */
static void comment(struct list_summary *summary, struct span text)
{
    static const struct {
        const char *key;
        enum { KEY_TITLE, KEY_VERSION, KEY_HOMEPAGE, KEY_EXPIRES } what;
    } keys[] = {
        { "Title:", KEY_TITLE },
        { "Version:", KEY_VERSION },
        { "Homepage:", KEY_HOMEPAGE },
        { "Expires:", KEY_EXPIRES },
    };

    if (text.size < 3 || (text.at[0] != '!' && text.at[0] != '#'))
        return;
    text = span_trim(span_from(text, 1));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        struct span key = span_text(keys[i].key), value;
        uint64_t number, unit = 86400;
        size_t digits = 0;

        if (!span_starts_nocase(text, key))
            continue;
        value = span_trim(span_from(text, key.size));
        if (keys[i].what == KEY_TITLE && !summary->title.at)
            summary->title = value;
        if (keys[i].what == KEY_VERSION && !summary->version.at)
            summary->version = value;
        if (keys[i].what == KEY_HOMEPAGE && !summary->homepage.at)
            summary->homepage = value;
        if (keys[i].what != KEY_EXPIRES || summary->expires_s)
            continue;
        while (digits < value.size && value.at[digits] >= '0' && value.at[digits] <= '9')
            digits++;
        if (digits > 4 || !span_to_u64(span_slice(value, 0, digits), &number))
            continue;
        value = span_trim(span_from(value, digits));
        if (span_starts_nocase(value, SPAN("h")))
            unit = 3600;
        else if (span_starts_nocase(value, SPAN("m")))
            unit = 60;
        summary->expires_s = number * unit;
    }
}

static void take(struct state *state, struct span text)
{
    struct list_summary *summary = state->summary;
    struct rule rule;

    rule_parse(&rule, text);
    if (rule.kind == RULE_PREPROCESSOR) {
        uint32_t bad = summary->bad;

        preprocess(state, rule.text);
        summary->comments += summary->bad == bad;
        return;
    }
    if (!is_on(state)) {
        summary->left_out++;
        return;
    }
    if (rule.kind == RULE_NETWORK && rule.needs_trust && !rule.is_exception &&
        !state->reader->is_trusted) {
        rule.kind = RULE_IDLE;
        rule.reason = REASON_UNTRUSTED;
    }
    switch (rule.kind) {
    case RULE_NOTHING:
        summary->comments++;
        comment(summary, rule.text);
        return;
    case RULE_IDLE:
    case RULE_BAD:
        problem(state, rule.text, rule.reason);
        return;
    case RULE_NETWORK:
        summary->network++;
        break;
    case RULE_HOSTS:
        summary->hosts++;
        break;
    case RULE_COSMETIC:
        summary->cosmetic++;
        break;
    case RULE_PREPROCESSOR:
        break;
    }
    state->reader->on_rule(state->reader->owner, &rule, state->line);
}

/* What a text left open ends with it; those beyond the limit of depth were reported before. */
static void end_ifs(struct state *state)
{
    while (state->if_depth > state->readings[state->depth].ifs_before) {
        state->if_depth--;
        state->line = state->ifs[state->if_depth].line;
        state->summary->comments--; // it has been taken for a good one
        problem(state, state->ifs[state->if_depth].text, REASON_PREPROCESSOR);
    }
    state->if_beyond = 0;
}

bool list_read(struct list_summary *summary, const struct list_reader *reader, struct span text)
{
    struct state state = { .summary = summary, .reader = reader };
    uint32_t outer_line = 0;

    *summary = (struct list_summary){ 0 };
    if (text.size > LIST_TEXT_LIMIT)
        return false;
    if (span_starts(text, SPAN("\xef\xbb\xbf")))
        text = span_from(text, 3);
    state.readings[0].text = text;
    state.bytes = text.size;
    for (;;) {
        struct reading *reading = &state.readings[state.depth];
        struct span line;
        size_t end;

        if (reading->text.size == 0) {
            end_ifs(&state);
            if (state.depth == 0)
                return true;
            state.depth--;
            continue;
        }
        if (state.depth == 0 && outer_line == LIST_LINE_LIMIT)
            return false;
        end = span_find_byte(reading->text, '\n');
        line = span_slice(reading->text, 0, end);
        reading->text = span_from(reading->text, end + (end < reading->text.size));
        state.line = state.depth == 0 ? ++outer_line : reading->line;
        summary->lines++;
        take(&state, line);
    }
}
