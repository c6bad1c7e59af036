#include "admin/overview.h"

#include <inttypes.h>
#include <stdio.h>

enum { SECOND_MS = 1000, MINUTE_MS = 60 * SECOND_MS, HOUR_MS = 60 * MINUTE_MS };
#define DAY_MS (UINT64_C(24) * HOUR_MS)

static const struct {
    enum metric metric;
    const char *name;
} actions[] = {
    { METRIC_REQUESTS_PASSED, "passed" },         { METRIC_REQUESTS_BLOCKED, "blocked" },
    { METRIC_REQUESTS_REDIRECTED, "redirected" }, { METRIC_REQUESTS_MODIFIED, "modified" },
    { METRIC_REQUESTS_TUNNELED, "tunneled" },     { METRIC_REQUESTS_LOCAL, "local" },
    { METRIC_REQUESTS_REFUSED, "refused" },       { METRIC_REQUESTS_ERROR, "error" },
};
enum { ACTION_ROWS = sizeof actions / sizeof *actions };

uint64_t overview_requests(const struct overview *overview)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < ACTION_ROWS; i++)
        sum += overview->counters[actions[i].metric];
    return sum;
}

uint64_t overview_pause_ms(const struct overview *overview)
{
    uint64_t longest = 0;

    for (size_t i = 0; i < overview->passes.count; i++) {
        const struct proxy_pass *pass = &overview->passes.items[i];

        if (pass->host.size == 0 && pass->client.size == 0 && pass->until_ms > overview->now_ms)
            longest = pass->until_ms - overview->now_ms;
    }
    return longest;
}

const char *overview_duration(uint64_t ms, char *to)
{
    if (ms >= DAY_MS)
        snprintf(to, OVERVIEW_TIME_BYTES, "%" PRIu64 " d %" PRIu64 " h", ms / DAY_MS,
                 ms % DAY_MS / HOUR_MS);
    else if (ms >= HOUR_MS)
        snprintf(to, OVERVIEW_TIME_BYTES, "%" PRIu64 " h %" PRIu64 " min", ms / HOUR_MS,
                 ms % HOUR_MS / MINUTE_MS);
    else if (ms >= MINUTE_MS)
        snprintf(to, OVERVIEW_TIME_BYTES, "%" PRIu64 " min", ms / MINUTE_MS);
    else
        snprintf(to, OVERVIEW_TIME_BYTES, "%" PRIu64 " s", ms / SECOND_MS);
    return to;
}

const char *overview_size(uint64_t bytes, char *to)
{
    static const char *const units[] = { "kB", "MB", "GB", "TB", "PB", "EB" };
    double number = (double)bytes / 1000;
    size_t unit = 0;

    if (bytes < 1000) {
        snprintf(to, OVERVIEW_TIME_BYTES, "%" PRIu64 " bytes", bytes);
        return to;
    }
    while (number >= 999.95 && unit + 1 < sizeof units / sizeof *units) {
        number /= 1000;
        unit++;
    }
    snprintf(to, OVERVIEW_TIME_BYTES, "%.1f %s", number, units[unit]);
    return to;
}

static uint64_t age_ms(const struct overview *overview, uint64_t then_ms)
{
    return overview->now_ms > then_ms ? overview->now_ms - then_ms : 0;
}

/* ---- text ---- */

static bool write_lists(struct buffer *out, const struct overview *overview)
{
    const struct lists *lists = &overview->lists;
    char time[OVERVIEW_TIME_BYTES];
    bool is_whole =
        buffer_printf(out, "%-13s %" PRIu64 " in %zu lists\n", "rules", lists->rules, lists->count);

    for (size_t i = 0; i < lists->count && is_whole; i++) {
        const struct list_figures *list = &lists->items[i];

        is_whole = buffer_printf(out, "  %-24.60s %8" PRIu64 " rules", list->name, list->rules);
        if (list->unsupported > 0)
            is_whole =
                is_whole && buffer_printf(out, ", %" PRIu64 " unsupported", list->unsupported);
        if (list->bad > 0)
            is_whole = is_whole && buffer_printf(out, ", %" PRIu64 " bad", list->bad);
        if (list->changed_ms > 0)
            is_whole = is_whole &&
                       buffer_printf(out, ", %s old",
                                     overview_duration(age_ms(overview, list->changed_ms), time));
        is_whole = is_whole && buffer_append(out, SPAN("\n"));
    }
    return is_whole;
}

static bool write_requests(struct buffer *out, const struct overview *overview)
{
    const uint64_t *counters = overview->counters;
    char in[OVERVIEW_TIME_BYTES], sent[OVERVIEW_TIME_BYTES];
    bool is_whole = buffer_printf(out, "%-13s %" PRIu64, "requests", overview_requests(overview));

    for (size_t i = 0; i < ACTION_ROWS && is_whole; i++)
        if (counters[actions[i].metric] > 0)
            is_whole =
                buffer_printf(out, ", %s %" PRIu64, actions[i].name, counters[actions[i].metric]);
    return is_whole &&
           buffer_printf(
               out, "\n%-13s %" PRIu64 " of browsers, %" PRIu64 " to origins (%" PRIu64 " idle)\n",
               "connections", counters[METRIC_BROWSER_OPEN], counters[METRIC_OUTGOING_OPEN],
               counters[METRIC_OUTGOING_IDLE]) &&
           buffer_printf(out, "%-13s %s from origins, %s to browsers\n", "bytes",
                         overview_size(counters[METRIC_BYTES_FROM_ORIGIN], in),
                         overview_size(counters[METRIC_BYTES_TO_BROWSER], sent)) &&
           buffer_printf(out, "%-13s %s not fetched, %s and %" PRIu64 " elements out of pages\n",
                         "spared", overview_size(counters[METRIC_BYTES_REMOVED_REQUEST], in),
                         overview_size(counters[METRIC_BYTES_REMOVED_HTML], sent),
                         counters[METRIC_ELEMENTS_REMOVED]);
}

const char *overview_https(const struct overview *overview, char *to)
{
    if (overview->intercept == INTERCEPT_NONE)
        snprintf(to, OVERVIEW_HTTPS_BYTES, "for no client");
    else if (!overview->state.is_signing)
        snprintf(to, OVERVIEW_HTTPS_BYTES, "for no client: there is no authority");
    else if (overview->intercept == INTERCEPT_ALL)
        snprintf(to, OVERVIEW_HTTPS_BYTES, "for all clients");
    else
        snprintf(to, OVERVIEW_HTTPS_BYTES, "for %zu enrolled client%s",
                 overview->learned.enrolments, overview->learned.enrolments == 1 ? "" : "s");
    return to;
}

/* What a person may want to look into: dejunk ca enrolled, dejunk ca learned. */
static bool write_https(struct buffer *out, const struct overview *overview)
{
    const struct learned_counts *learned = &overview->learned;
    char text[OVERVIEW_HTTPS_BYTES];
    bool is_whole = buffer_printf(out, "%-13s opened %s", "https", overview_https(overview, text));

    if (learned->tunnels > 0)
        is_whole = is_whole &&
                   buffer_printf(out, ", %zu programs and hosts passed through", learned->tunnels);
    if (learned->ended > 0)
        is_whole = is_whole && buffer_printf(out, ", %zu enrolments ended", learned->ended);
    return is_whole && buffer_append(out, SPAN("\n"));
}

bool overview_write_text(struct buffer *out, const struct overview *overview)
{
    const struct overview_state *state = &overview->state;
    uint64_t pause_ms = overview_pause_ms(overview);
    char time[OVERVIEW_TIME_BYTES];
    bool is_whole =
        buffer_printf(out, "dejunk %s, up %s\n", DEJUNK_VERSION,
                      overview_duration(age_ms(overview, state->started_ms), time)) &&
        buffer_printf(out, "%-13s %u of %u serve, %" PRIu64 " replaced\n", "workers",
                      state->ready_workers, state->workers, state->restarts) &&
        buffer_printf(
            out, "%-13s number %" PRIu64 " in force, %" PRIu64 " reloads, %" PRIu64 " failed\n",
            "config", state->generation, state->reloads, state->failed_reloads);

    if (state->reload_problem[0] != '\0')
        is_whole = is_whole && buffer_printf(out, "%-13s of the last reload: %s\n", "warning",
                                             state->reload_problem);
    if (pause_ms > 0)
        is_whole = is_whole && buffer_printf(out, "%-13s nothing is filtered for %s more\n",
                                             "paused", overview_duration(pause_ms, time));
    if (overview->passes.count > 0)
        is_whole = is_whole && buffer_printf(out, "%-13s %zu\n", "passes", overview->passes.count);
    return is_whole && write_https(out, overview) && write_lists(out, overview) &&
           write_requests(out, overview);
}

/* ---- JSON ---- */

bool overview_put_json_string(struct buffer *out, struct span text)
{
    bool is_whole = buffer_append(out, SPAN("\""));

    for (size_t i = 0; i < text.size && is_whole; i++) {
        unsigned char c = (unsigned char)text.at[i];

        if (c == '"' || c == '\\')
            is_whole = buffer_printf(out, "\\%c", c);
        else if (c < 0x20 || c > 0x7e)
            is_whole = buffer_printf(out, "\\u%04x", c);
        else
            is_whole = buffer_append(out, span_slice(text, i, 1));
    }
    return is_whole && buffer_append(out, SPAN("\""));
}

static bool put_time(struct buffer *out, const char *key, uint64_t ms)
{
    if (ms == 0)
        return buffer_printf(out, ",\"%s\":null", key);
    return buffer_printf(out, ",\"%s\":%" PRIu64 ".%03u", key, ms / 1000, (unsigned)(ms % 1000));
}

static bool put_text(struct buffer *out, const char *key, const char *text)
{
    if (!buffer_printf(out, ",\"%s\":", key))
        return false;
    return text[0] == '\0' ? buffer_append(out, SPAN("null"))
                           : overview_put_json_string(out, span_text(text));
}

static bool put_lists(struct buffer *out, const struct lists *lists)
{
    bool is_whole = buffer_printf(out, ",\"rules\":%" PRIu64 ",\"lists\":[", lists->rules);

    for (size_t i = 0; i < lists->count && is_whole; i++) {
        const struct list_figures *list = &lists->items[i];

        is_whole =
            buffer_printf(out, "%s{\"name\":", i > 0 ? "," : "") &&
            overview_put_json_string(out, span_text(list->name)) &&
            buffer_printf(out,
                          ",\"lines\":%" PRIu64 ",\"rules\":%" PRIu64 ",\"cosmetic\":%" PRIu64
                          ",\"unsupported\":%" PRIu64 ",\"bad\":%" PRIu64,
                          list->lines, list->rules, list->cosmetic, list->unsupported, list->bad) &&
            put_time(out, "changed", list->changed_ms) && buffer_append(out, SPAN("}"));
    }
    return is_whole && buffer_append(out, SPAN("]"));
}

static bool put_passes(struct buffer *out, const struct proxy_passes *passes)
{
    bool is_whole = buffer_append(out, SPAN(",\"passes\":["));

    for (size_t i = 0; i < passes->count && is_whole; i++) {
        const struct proxy_pass *pass = &passes->items[i];

        is_whole =
            buffer_printf(out, "%s{\"host\":", i > 0 ? "," : "") &&
            overview_put_json_string(out, pass->host.size ? pass->host : SPAN("*")) &&
            buffer_append(out, SPAN(",\"client\":")) &&
            overview_put_json_string(out, pass->client.size ? pass->client : SPAN("*")) &&
            put_time(out, "until", pass->until_ms == PROXY_PASS_FOR_GOOD ? 0 : pass->until_ms) &&
            buffer_append(out, SPAN("}"));
    }
    return is_whole && buffer_append(out, SPAN("]"));
}

static bool put_https(struct buffer *out, const struct overview *overview)
{
    static const char *const modes[] = { "enrolled", "all", "none" };
    const struct learned_counts *learned = &overview->learned;

    return buffer_printf(out,
                         ",\"https\":{\"intercept\":\"%s\",\"authority\":%s,\"enrolled\":%zu"
                         ",\"ended\":%zu,\"learned\":%zu}",
                         modes[overview->intercept], overview->state.is_signing ? "true" : "false",
                         learned->enrolments, learned->ended, learned->tunnels);
}

static bool put_hosts(struct buffer *out, const struct host_totals *hosts)
{
    size_t count = hosts->count < OVERVIEW_HOSTS ? hosts->count : OVERVIEW_HOSTS;
    bool is_whole = buffer_append(out, SPAN(",\"hosts\":["));

    for (size_t i = 0; i < count && is_whole; i++) {
        const struct host_total *host = &hosts->items[i];

        is_whole =
            buffer_printf(out, "%s{\"host\":", i > 0 ? "," : "") &&
            overview_put_json_string(out, span_text(host->name)) &&
            buffer_printf(out,
                          ",\"requests\":%" PRIu64 ",\"bytes_not_fetched\":%" PRIu64
                          ",\"bytes_removed\":%" PRIu64 ",\"elements_removed\":%" PRIu64 "}",
                          host->counts[HOST_REQUESTS], host->counts[HOST_BYTES_NOT_FETCHED],
                          host->counts[HOST_BYTES_REMOVED], host->counts[HOST_ELEMENTS_REMOVED]);
    }
    return is_whole && buffer_append(out, SPAN("]"));
}

bool overview_write_json(struct buffer *out, const struct overview *overview)
{
    const struct overview_state *state = &overview->state;
    const uint64_t *counters = overview->counters;
    bool is_whole =
        buffer_printf(out, "{\"version\":\"%s\"", DEJUNK_VERSION) &&
        put_time(out, "time", overview->now_ms) && put_time(out, "started", state->started_ms) &&
        buffer_printf(out, ",\"workers\":{\"wanted\":%u,\"serving\":%u,\"replaced\":%" PRIu64 "}",
                      state->workers, state->ready_workers, state->restarts) &&
        buffer_printf(
            out, ",\"config\":{\"number\":%" PRIu64 ",\"reloads\":%" PRIu64 ",\"failed\":%" PRIu64,
            state->generation, state->reloads, state->failed_reloads) &&
        put_time(out, "last_reload", state->last_reload_ms) &&
        put_text(out, "problem", state->reload_problem) && buffer_append(out, SPAN("}")) &&
        put_lists(out, &overview->lists) && put_passes(out, &overview->passes) &&
        put_https(out, overview) && buffer_append(out, SPAN(",\"requests\":{"));

    for (size_t i = 0; i < ACTION_ROWS && is_whole; i++)
        is_whole = buffer_printf(out, "%s\"%s\":%" PRIu64, i > 0 ? "," : "", actions[i].name,
                                 counters[actions[i].metric]);
    return is_whole &&
           buffer_printf(out,
                         "},\"connections\":{\"browser\":%" PRIu64 ",\"outgoing\":%" PRIu64
                         ",\"idle\":%" PRIu64 "}",
                         counters[METRIC_BROWSER_OPEN], counters[METRIC_OUTGOING_OPEN],
                         counters[METRIC_OUTGOING_IDLE]) &&
           buffer_printf(out,
                         ",\"bytes\":{\"from_browsers\":%" PRIu64 ",\"to_browsers\":%" PRIu64
                         ",\"from_origins\":%" PRIu64 ",\"to_origins\":%" PRIu64 "}",
                         counters[METRIC_BYTES_FROM_BROWSER], counters[METRIC_BYTES_TO_BROWSER],
                         counters[METRIC_BYTES_FROM_ORIGIN], counters[METRIC_BYTES_TO_ORIGIN]) &&
           buffer_printf(out,
                         ",\"spared\":{\"bytes_not_fetched\":%" PRIu64 ",\"bytes_removed\":%" PRIu64
                         ",\"elements_removed\":%" PRIu64 "}",
                         counters[METRIC_BYTES_REMOVED_REQUEST],
                         counters[METRIC_BYTES_REMOVED_HTML], counters[METRIC_ELEMENTS_REMOVED]) &&
           put_hosts(out, &overview->hosts) && buffer_append(out, SPAN("}\n"));
}
