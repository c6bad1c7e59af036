#include "proxy/access_log.h"

#include <assert.h>
#include <stdlib.h>

static const char *const action_names[ACTIONS] = {
    [ACTION_PASSED] = "passed",         [ACTION_BLOCKED] = "blocked",
    [ACTION_REDIRECTED] = "redirected", [ACTION_MODIFIED] = "modified",
    [ACTION_TUNNELED] = "tunneled",     [ACTION_LOCAL] = "local",
    [ACTION_REFUSED] = "refused",       [ACTION_ERROR] = "error",
};

/* ---- putting bytes into a line, which is long enough by its limits ---- */

struct line {
    char *at;
    size_t size;
    bool is_json;
};

/* Six bytes for each of a client's in JSON, and some 700 of our own. */
_Static_assert(6 * (ACCESS_LOG_URL_BYTES + ACCESS_LOG_REFERER_BYTES + ACCESS_LOG_AGENT_BYTES +
                    ACCESS_LOG_USER_BYTES + ACCESS_LOG_METHOD_BYTES + ACCESS_LOG_AUTHORITY_BYTES) +
                       6 * JUDGE_REASON_BYTES / 2 + 1024 <=
                   ACCESS_LOG_LINE_BYTES,
               "a line has room for the longest of all");

static void put(struct line *line, struct span bytes)
{
    assert(bytes.size <= ACCESS_LOG_LINE_BYTES - line->size);
    memcpy(line->at + line->size, bytes.at, bytes.size);
    line->size += bytes.size;
}

static void put_number(struct line *line, uint64_t number, unsigned least_digits)
{
    char digits[20];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0 || sizeof digits - at < least_digits);
    put(line, span_of(digits + at, sizeof digits - at));
}

static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static void put_escaped_byte(struct line *line, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    char escape[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };

    if (c == '"' || c == '\\') {
        escape[1] = (char)c;
        put(line, span_of(escape, 2));
    } else if (line->is_json) {
        put(line, span_of(escape, 6));
    } else {
        escape[1] = 'x';
        escape[2] = escape[4];
        escape[3] = escape[5];
        put(line, span_of(escape, 4));
    }
}

/* Controls, quotes, backslashes and whatever is no ASCII: \xHH, or \u00HH in JSON. */
static void put_escaped(struct line *line, struct span text, size_t limit)
{
    size_t from = 0;

    if (text.size > limit)
        text.size = limit;
    for (size_t i = 0; i < text.size; i++) {
        if (is_plain((unsigned char)text.at[i]))
            continue;
        put(line, span_slice(text, from, i - from));
        put_escaped_byte(line, (unsigned char)text.at[i]);
        from = i + 1;
    }
    if (from < text.size)
        put(line, span_from(text, from));
}

/* Without what may be secret: query, fragment, and user and password before the host. */
static void put_url(struct line *line, struct span url, size_t limit)
{
    size_t end = 0, scheme, start = 0, slash;
    struct span authority;

    while (end < url.size && url.at[end] != '?' && url.at[end] != '#')
        end++;
    url.size = end;
    scheme = span_find(url, SPAN("://"));
    if (scheme < url.size)
        start = scheme + 3;
    else if (url.size > 0 && url.at[0] == '/')
        start = url.size; // a path alone
    slash = start + span_find_byte(span_from(url, start), '/');
    authority = span_slice(url, start, slash - start);
    for (size_t i = authority.size; i > 0; i--) {
        if (authority.at[i - 1] != '@')
            continue;
        put_escaped(line, span_slice(url, 0, start), limit);
        limit -= start < limit ? start : limit;
        url = span_from(url, start + i);
        break;
    }
    put_escaped(line, url, limit);
}

static void put_target(struct line *line, const struct access_entry *entry)
{
    if (entry->authority.size > 0) {
        put(line, entry->is_secure ? SPAN("https://") : SPAN("http://"));
        put_escaped(line, entry->authority, ACCESS_LOG_AUTHORITY_BYTES);
    }
    put_url(line, entry->url, ACCESS_LOG_URL_BYTES);
}

/* ---- time: the same second is asked for again and again ---- */

struct access_stamp {
    time_t second;
    size_t size; // 0: nothing yet
    char text[40];
};

struct access_clock {
    struct access_stamp local, utc;
};

struct access_clock *access_clock_new(void)
{
    struct access_clock *clock = calloc(1, sizeof *clock);

    if (!clock)
        abort(); // out of memory ends the worker; the master starts another
    return clock;
}

static struct span stamp(struct access_stamp *known, time_t second, bool is_local)
{
    struct tm parts;

    if (known->size > 0 && second == known->second)
        return span_of(known->text, known->size);
    known->second = second;
    if (is_local)
        known->size = strftime(known->text, sizeof known->text, "%d/%b/%Y:%H:%M:%S %z",
                               localtime_r(&second, &parts));
    else
        known->size = strftime(known->text, sizeof known->text, "%Y-%m-%dT%H:%M:%S",
                               gmtime_r(&second, &parts));
    return span_of(known->text, known->size);
}

/* ---- the formats ---- */

/* RFC 1413's name is never known. A name with a blank in it would be two columns. */
static void put_column(struct line *line, struct span text, size_t limit)
{
    if (text.size == 0) {
        put(line, SPAN("-"));
        return;
    }
    if (text.size > limit)
        text.size = limit;
    for (size_t i = 0; i < text.size; i++)
        if (text.at[i] == ' ')
            put(line, SPAN("\\x20"));
        else
            put_escaped(line, span_slice(text, i, 1), 1);
}

static void put_quoted(struct line *line, struct span text, size_t limit, bool is_url)
{
    put(line, SPAN("\""));
    if (text.size == 0 && !line->is_json)
        put(line, SPAN("-"));
    else if (is_url)
        put_url(line, text, limit);
    else
        put_escaped(line, text, limit);
    put(line, SPAN("\""));
}

static void put_combined(struct line *line, const struct access_entry *entry,
                         const struct timespec *now, struct access_clock *clock)
{
    char address[ADDRESS_TEXT_BYTES];

    put(line, span_text(address_text(entry->client, address)));
    put(line, SPAN(" - "));
    put_column(line, entry->user, ACCESS_LOG_USER_BYTES);
    put(line, SPAN(" ["));
    put(line, stamp(&clock->local, now->tv_sec, true));
    put(line, SPAN("] \""));
    put_escaped(line, entry->method, ACCESS_LOG_METHOD_BYTES);
    put(line, SPAN(" "));
    put_target(line, entry);
    put(line, entry->version_minor ? SPAN(" HTTP/1.1\" ") : SPAN(" HTTP/1.0\" "));
    put_number(line, entry->status, 3);
    put(line, SPAN(" "));
    if (entry->bytes > 0)
        put_number(line, entry->bytes, 1);
    else
        put(line, SPAN("-"));
    put(line, SPAN(" "));
    put_quoted(line, entry->referer, ACCESS_LOG_REFERER_BYTES, true);
    put(line, SPAN(" "));
    put_quoted(line, entry->agent, ACCESS_LOG_AGENT_BYTES, false);
}

static void put_value(struct line *line, struct span key, struct span text, size_t limit,
                      bool is_url)
{
    put(line, SPAN(",\""));
    put(line, key);
    put(line, SPAN("\":"));
    if (text.size == 0)
        put(line, SPAN("null"));
    else
        put_quoted(line, text, limit, is_url);
}

static void put_seconds(struct line *line, uint64_t ms)
{
    put_number(line, ms / 1000, 1);
    put(line, SPAN("."));
    put_number(line, ms % 1000, 3);
}

static void put_json(struct line *line, const struct access_entry *entry,
                     const struct timespec *now, struct access_clock *clock)
{
    char address[ADDRESS_TEXT_BYTES];

    put(line, SPAN("{\"time\":\""));
    put(line, stamp(&clock->utc, now->tv_sec, false));
    put(line, SPAN("."));
    put_number(line, (uint64_t)now->tv_nsec / 1000000, 3);
    put(line, SPAN("Z\",\"client\":\""));
    put(line, span_text(address_text(entry->client, address)));
    put(line, SPAN("\""));
    put_value(line, SPAN("user"), entry->user, ACCESS_LOG_USER_BYTES, false);
    put_value(line, SPAN("method"), entry->method, ACCESS_LOG_METHOD_BYTES, false);
    put(line, SPAN(",\"url\":\""));
    put_target(line, entry);
    put(line, SPAN("\""));
    put(line, entry->version_minor ? SPAN(",\"protocol\":\"HTTP/1.1\",\"status\":")
                                   : SPAN(",\"protocol\":\"HTTP/1.0\",\"status\":"));
    put_number(line, entry->status, 1);
    put(line, SPAN(",\"bytes\":"));
    put_number(line, entry->bytes, 1);
    put(line, SPAN(",\"duration\":"));
    put_seconds(line, entry->duration_ms);
    put_value(line, SPAN("action"), span_text(action_names[entry->action]), 32, false);
    put_value(line, SPAN("type"), entry->type, 32, false);
    put_value(line, SPAN("rule"), entry->rule, JUDGE_REASON_BYTES / 2, false);
    put_value(line, SPAN("referer"), entry->referer, ACCESS_LOG_REFERER_BYTES, true);
    put_value(line, SPAN("agent"), entry->agent, ACCESS_LOG_AGENT_BYTES, false);
    put(line, SPAN("}"));
}

size_t access_log_write(char to[ACCESS_LOG_LINE_BYTES], enum access_log_format format,
                        const struct access_entry *entry, const struct timespec *now,
                        struct access_clock *clock)
{
    struct line line = { to, 0, format == ACCESS_LOG_JSON };

    if (line.is_json)
        put_json(&line, entry, now, clock);
    else
        put_combined(&line, entry, now, clock);
    put(&line, SPAN("\n"));
    return line.size;
}

/* ---- exchanges and tunnels ---- */

/* The config's format; combined for a follower where the config has none. */
static enum access_log_format format_for(const struct proxy *proxy, const struct config *config)
{
    if (!proxy->seams.write_access_log)
        return ACCESS_LOG_OFF;
    if (config->access_log == ACCESS_LOG_OFF && proxy->is_followed)
        return ACCESS_LOG_COMBINED;
    return config->access_log;
}

static void say(struct proxy *proxy, enum access_log_format format,
                const struct access_entry *entry)
{
    char line[ACCESS_LOG_LINE_BYTES];
    struct timespec now;
    size_t size;

    clock_gettime(CLOCK_REALTIME, &now);
    size = access_log_write(line, format, entry, &now, proxy->access_clock);
    proxy->seams.write_access_log(proxy->seams.owner, span_of(line, size));
}

/* `reason` (JUDGE_REASON_BYTES) is room for the rule. */
static struct access_entry entry_of(const struct exchange *x, char *reason)
{
    struct access_entry entry = {
        .client = &x->session->peer,
        .user = x->user,
        .method = x->request.method_name,
        .url = x->request.target,
        .version_minor = x->request.version_minor,
        .status = x->status,
        .bytes = x->response_bytes,
        .duration_ms = loop_now_ms(x->proxy->loop) - x->started_ms,
        .action = x->action,
        .referer = message_value(&x->request, FIELD_REFERER),
        .agent = message_value(&x->request, FIELD_USER_AGENT),
    };

    if (x->reworked_bytes)
        entry.bytes = x->reworked_bytes;
    if (x->request.target_form == TARGET_ORIGIN)
        entry.authority = x->target.authority; // inside a tunnel, or our own
    entry.is_secure = x->target.scheme == TARGET_HTTPS;
    if (x->request.method != METHOD_CONNECT && !x->is_local && x->target.host.size > 0)
        entry.type = span_text(request_type_name(x->judgement.type));
    if (x->judgement.is_stopped)
        entry.rule = span_text(judge_reason(x->proxy->judge, &x->judgement, reason));
    return entry;
}

void access_log_exchange(const struct exchange *x)
{
    enum access_log_format format = format_for(x->proxy, x->settings->config);
    char reason[JUDGE_REASON_BYTES];
    struct access_entry entry;

    if (format == ACCESS_LOG_OFF || x->action == ACTION_TUNNELED)
        return;
    entry = entry_of(x, reason);
    say(x->proxy, format, &entry);
}

struct access_note {
    struct access_entry entry;
    struct address client;
    enum access_log_format format;
    uint64_t started_ms;
    char text[];
};

enum { NOTE_TEXTS = 7 };

struct access_note *access_log_keep(const struct exchange *x)
{
    enum access_log_format format = format_for(x->proxy, x->settings->config);
    char reason[JUDGE_REASON_BYTES];
    struct access_note *note;
    struct access_entry entry;
    struct span *texts[NOTE_TEXTS];
    size_t size = 0;

    if (format == ACCESS_LOG_OFF)
        return NULL;
    entry = entry_of(x, reason);
    note = malloc(sizeof *note + entry.user.size + entry.method.size + entry.url.size +
                  entry.rule.size + entry.referer.size + entry.agent.size + entry.authority.size);
    if (!note)
        abort();         // out of memory ends the worker; the master starts another
    note->entry = entry; // the type's name is a constant
    note->client = *entry.client;
    note->entry.client = &note->client;
    note->format = format;
    note->started_ms = x->started_ms;
    texts[0] = &note->entry.user;
    texts[1] = &note->entry.method;
    texts[2] = &note->entry.url;
    texts[3] = &note->entry.rule;
    texts[4] = &note->entry.referer;
    texts[5] = &note->entry.agent;
    texts[6] = &note->entry.authority;
    for (size_t i = 0; i < NOTE_TEXTS; i++) {
        if (texts[i]->size == 0)
            continue;
        memcpy(note->text + size, texts[i]->at, texts[i]->size);
        texts[i]->at = note->text + size;
        size += texts[i]->size;
    }
    return note;
}

void access_log_tunnel(struct proxy *proxy, struct access_note **note, uint64_t bytes)
{
    struct access_note *kept = *note;

    *note = NULL;
    if (!kept)
        return;
    kept->entry.bytes = bytes;
    kept->entry.duration_ms = loop_now_ms(proxy->loop) - kept->started_ms;
    if (proxy->seams.write_access_log)
        say(proxy, kept->format, &kept->entry);
    free(kept);
}
