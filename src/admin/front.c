#include "admin/front.h"

#include <inttypes.h>

#include "proxy/pages.h"

static const char style[] =
    ":root{color-scheme:light "
    "dark;--ink:#222;--faint:#777;--line:#ddd;--paper:#fff;--warn:#a40000}\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#ddd;--faint:#999;--line:#3a3a3a;"
    "--paper:#181818;--warn:#ff8a80}}\n"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:46em;margin:2em auto;padding:0 1em;"
    "color:var(--ink);background:var(--paper)}\n"
    "h1{font-size:1.4em}h2{font-size:1.1em;margin-top:1.6em}\n"
    "table{border-collapse:collapse;width:100%}\n"
    "th,td{text-align:left;padding:.25em .6em .25em 0;border-bottom:1px solid var(--line);"
    "overflow-wrap:anywhere}\n"
    "td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}\n"
    "th{font-weight:normal;color:var(--faint)}\n"
    "p.warn{color:var(--warn)}p.by{color:var(--faint);font-size:.85em}a{color:inherit}\n";

struct span front_style(void)
{
    return span_of(style, sizeof style - 1);
}

static uint64_t age_ms(const struct overview *overview, uint64_t then_ms)
{
    return overview->now_ms > then_ms ? overview->now_ms - then_ms : 0;
}

static bool row(struct buffer *out, const char *label, uint64_t number)
{
    return buffer_printf(out, "<tr><td>%s</td><td class=\"n\">%" PRIu64 "</td></tr>\n", label,
                         number);
}

static bool row_text(struct buffer *out, const char *label, const char *text)
{
    return buffer_printf(out, "<tr><td>%s</td><td class=\"n\">", label) &&
           page_append_escaped(out, span_text(text)) && buffer_append(out, SPAN("</td></tr>\n"));
}

static bool warning(struct buffer *out, const char *before, const char *text)
{
    return buffer_printf(out, "<p class=\"warn\">%s", before) &&
           page_append_escaped(out, span_text(text)) && buffer_append(out, SPAN("</p>\n"));
}

static bool put_service(struct buffer *out, const struct overview *overview)
{
    const struct overview_state *state = &overview->state;
    char time[OVERVIEW_TIME_BYTES], https[OVERVIEW_HTTPS_BYTES];
    uint64_t pause_ms = overview_pause_ms(overview);
    bool is_whole = true;

    if (state->reload_problem[0] != '\0')
        is_whole = warning(out, "The last reload: ", state->reload_problem);
    if (pause_ms > 0)
        is_whole = is_whole && warning(out, "Nothing is filtered; this ends in ",
                                       overview_duration(pause_ms, time));
    return is_whole && buffer_append(out, SPAN("<h2>Service</h2>\n<table>\n")) &&
           row_text(out, "Version", DEJUNK_VERSION) &&
           row_text(out, "Up for", overview_duration(age_ms(overview, state->started_ms), time)) &&
           buffer_printf(out, "<tr><td>Workers that serve</td><td class=\"n\">%u of %u</td></tr>\n",
                         state->ready_workers, state->workers) &&
           row(out, "Processes replaced", state->restarts) &&
           row(out, "Configuration in force, number", state->generation) &&
           row(out, "Reloads that failed", state->failed_reloads) &&
           row(out, "Passes given", overview->passes.count) &&
           row_text(out, "HTTPS is opened", overview_https(overview, https)) &&
           row(out, "Programs and hosts passed through", overview->learned.tunnels) &&
           row(out, "Enrolments ended", overview->learned.ended) &&
           buffer_append(out, SPAN("</table>\n"));
}

static bool put_requests(struct buffer *out, const struct overview *overview)
{
    static const struct {
        enum metric metric;
        const char *label;
    } rows[] = {
        { METRIC_REQUESTS_PASSED, "Passed" },         { METRIC_REQUESTS_BLOCKED, "Blocked" },
        { METRIC_REQUESTS_REDIRECTED, "Redirected" }, { METRIC_REQUESTS_MODIFIED, "Modified" },
        { METRIC_REQUESTS_TUNNELED, "Tunneled" },     { METRIC_REQUESTS_LOCAL, "For these pages" },
        { METRIC_REQUESTS_REFUSED, "Refused" },       { METRIC_REQUESTS_ERROR, "Failed" },
    };
    const uint64_t *counters = overview->counters;
    char size[OVERVIEW_TIME_BYTES];
    bool is_whole = buffer_append(out, SPAN("<h2>Requests</h2>\n<table>\n"));

    for (size_t i = 0; i < sizeof rows / sizeof *rows && is_whole; i++)
        is_whole = row(out, rows[i].label, counters[rows[i].metric]);
    return is_whole && buffer_append(out, SPAN("</table>\n<h2>Traffic</h2>\n<table>\n")) &&
           row_text(out, "From origins", overview_size(counters[METRIC_BYTES_FROM_ORIGIN], size)) &&
           row_text(out, "To browsers", overview_size(counters[METRIC_BYTES_TO_BROWSER], size)) &&
           row_text(out, "From browsers",
                    overview_size(counters[METRIC_BYTES_FROM_BROWSER], size)) &&
           row_text(out, "To origins", overview_size(counters[METRIC_BYTES_TO_ORIGIN], size)) &&
           row(out, "Connections of browsers", counters[METRIC_BROWSER_OPEN]) &&
           row(out, "Connections to origins", counters[METRIC_OUTGOING_OPEN]) &&
           row(out, "of these idle", counters[METRIC_OUTGOING_IDLE]) &&
           buffer_append(out, SPAN("</table>\n"));
}

static bool put_host(struct buffer *out, const struct host_total *host)
{
    char fetched[OVERVIEW_TIME_BYTES], removed[OVERVIEW_TIME_BYTES];

    overview_size(host->counts[HOST_BYTES_NOT_FETCHED], fetched);
    overview_size(host->counts[HOST_BYTES_REMOVED], removed);
    return buffer_append(out, SPAN("<tr><td>")) &&
           page_append_escaped(out, span_text(host->name)) &&
           buffer_printf(out,
                         "</td><td class=\"n\">%" PRIu64 "</td><td class=\"n\">%s</td>"
                         "<td class=\"n\">%" PRIu64 "</td><td class=\"n\">%s</td></tr>\n",
                         host->counts[HOST_REQUESTS], fetched, host->counts[HOST_ELEMENTS_REMOVED],
                         removed);
}

/* What browsers were spared, in all and by site. */
static bool put_spared(struct buffer *out, const struct overview *overview)
{
    const uint64_t *counters = overview->counters;
    size_t count = overview->hosts.count;
    char size[OVERVIEW_TIME_BYTES];
    bool is_whole =
        buffer_append(out, SPAN("<h2>Spared</h2>\n<table>\n")) &&
        row_text(out, "Not fetched, about",
                 overview_size(counters[METRIC_BYTES_REMOVED_REQUEST], size)) &&
        row(out, "Elements out of pages", counters[METRIC_ELEMENTS_REMOVED]) &&
        row_text(out, "Out of pages", overview_size(counters[METRIC_BYTES_REMOVED_HTML], size)) &&
        buffer_append(out, SPAN("</table>\n"));

    if (count == 0)
        return is_whole;
    is_whole =
        is_whole && buffer_append(out, SPAN("<table>\n<tr><th>Site</th><th class=\"n\">Requests "
                                            "stopped</th><th class=\"n\">Not fetched</th>"
                                            "<th class=\"n\">Elements</th>"
                                            "<th class=\"n\">Out of pages</th></tr>\n"));
    for (size_t i = 0; i < count && i < OVERVIEW_HOSTS && is_whole; i++)
        is_whole = put_host(out, &overview->hosts.items[i]);
    return is_whole && buffer_append(out, SPAN("</table>\n"));
}

static bool put_list(struct buffer *out, const struct overview *overview,
                     const struct list_figures *list)
{
    char time[OVERVIEW_TIME_BYTES] = "";

    if (list->changed_ms > 0)
        overview_duration(age_ms(overview, list->changed_ms), time);
    return buffer_append(out, SPAN("<tr><td>")) &&
           page_append_escaped(out, span_text(list->name)) &&
           buffer_printf(out,
                         "</td><td class=\"n\">%" PRIu64 "</td><td class=\"n\">%" PRIu64
                         "</td><td class=\"n\">%" PRIu64 "</td><td class=\"n\">%" PRIu64
                         "</td><td class=\"n\">%s</td></tr>\n",
                         list->rules, list->cosmetic, list->unsupported, list->bad, time);
}

static bool put_lists(struct buffer *out, const struct overview *overview)
{
    const struct lists *lists = &overview->lists;
    bool is_whole = buffer_append(out, SPAN("<h2>Lists</h2>\n"));

    if (lists->count == 0)
        return is_whole && buffer_append(out, SPAN("<p>No list is loaded: requests are only "
                                                   "relayed.</p>\n"));
    is_whole = is_whole &&
               buffer_append(out, SPAN("<table>\n<tr><th>List</th><th class=\"n\">Rules</th>"
                                       "<th class=\"n\">For pages</th>"
                                       "<th class=\"n\">Unsupported</th><th class=\"n\">Bad</th>"
                                       "<th class=\"n\">Age</th></tr>\n"));
    for (size_t i = 0; i < lists->count && is_whole; i++)
        is_whole = put_list(out, overview, &lists->items[i]);
    return is_whole && buffer_append(out, SPAN("</table>\n"));
}

bool front_write(struct buffer *out, const struct overview *overview, struct span who,
                 struct span user)
{
    return buffer_append(out,
                         SPAN("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                              "<meta name=\"viewport\" content=\"width=device-width\">"
                              "<title>dejunk</title>"
                              "<link rel=\"stylesheet\" href=\"/style.css\"></head>\n<body>"
                              "<h1>This is dejunk</h1>\n<p>The proxy works. You come from ")) &&
           page_append_escaped(out, who) &&
           (user.size == 0 ||
            (buffer_append(out, SPAN(" as ")) && page_append_escaped(out, user))) &&
           buffer_append(out, SPAN(".</p>\n")) && put_service(out, overview) &&
           put_requests(out, overview) && put_spared(out, overview) && put_lists(out, overview) &&
           buffer_append(out, SPAN("<p class=\"by\"><a href=\"/metrics\">metrics</a> "
                                   "<a href=\"/healthz\">health</a> "
                                   "<a href=\"/proxy.pac\">proxy.pac</a></p>\n</body></html>\n"));
}
