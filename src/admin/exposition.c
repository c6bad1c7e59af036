#include "admin/exposition.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

static bool head(struct buffer *out, const char *name, const char *type, const char *help)
{
    return buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static bool plain(struct buffer *out, const char *name, const char *type, const char *help,
                  uint64_t value)
{
    return head(out, name, type, help) && buffer_printf(out, "%s %" PRIu64 "\n", name, value);
}

static bool seconds(struct buffer *out, const char *name, const char *type, const char *help,
                    uint64_t ms)
{
    return head(out, name, type, help) &&
           buffer_printf(out, "%s %" PRIu64 ".%03u\n", name, ms / 1000, (unsigned)(ms % 1000));
}

/* Backslash, quote and line feed are escaped; the rest of UTF-8 may stand as it is. */
static bool put_label(struct buffer *out, struct span value)
{
    bool is_whole = true;

    for (size_t i = 0; i < value.size && is_whole; i++)
        if (value.at[i] == '\n')
            is_whole = buffer_append(out, SPAN("\\n"));
        else
            is_whole =
                (value.at[i] != '"' && value.at[i] != '\\' ? true
                                                           : buffer_append(out, SPAN("\\"))) &&
                buffer_append(out, span_slice(value, i, 1));
    return is_whole;
}

static bool put_counters(struct buffer *out, const uint64_t *counters)
{
    const char *name = "";
    bool is_whole = true;

    for (size_t i = 0; i < METRICS_COUNT && is_whole; i++) {
        const struct metric_row *row = metric_row((enum metric)i);

        if (strcmp(row->name, name) != 0)
            is_whole =
                head(out, row->name, row->kind == METRIC_GAUGE ? "gauge" : "counter", row->help);
        name = row->name;
        is_whole =
            is_whole &&
            buffer_printf(out, row->labels[0] ? "%s{%s} %" PRIu64 "\n" : "%s%s %" PRIu64 "\n",
                          row->name, row->labels, counters[i]);
    }
    return is_whole;
}

static bool put_build(struct buffer *out)
{
    uint32_t has_jit = 0;

    pcre2_config(PCRE2_CONFIG_JIT, &has_jit);
    return head(out, "dejunk_build_info", "gauge", "What this is built from") &&
           buffer_append(out,
                         SPAN("dejunk_build_info{version=\"" DEJUNK_VERSION "\",openssl=\"")) &&
           put_label(out, span_text(OpenSSL_version(OPENSSL_VERSION_STRING))) &&
           buffer_printf(out, "\",pcre2_jit=\"%s\"} 1\n", has_jit ? "true" : "false");
}

static bool put_state(struct buffer *out, const struct overview_state *state)
{
    return plain(out, "dejunk_workers", "gauge", "Workers that should be there", state->workers) &&
           plain(out, "dejunk_workers_serving", "gauge", "Workers that serve",
                 state->ready_workers) &&
           plain(out, "dejunk_worker_restarts_total", "counter", "Processes replaced",
                 state->restarts) &&
           head(out, "dejunk_config_reloads_total", "counter", "Reloads of the configuration") &&
           buffer_printf(out,
                         "dejunk_config_reloads_total{result=\"success\"} %" PRIu64 "\n"
                         "dejunk_config_reloads_total{result=\"failure\"} %" PRIu64 "\n",
                         state->reloads - state->failed_reloads, state->failed_reloads) &&
           plain(out, "dejunk_config_last_reload_successful", "gauge",
                 "1: the last reload went well, or there was none",
                 state->reload_problem[0] == '\0') &&
           seconds(out, "dejunk_config_last_reload_timestamp_seconds", "gauge",
                   "When the configuration was read last", state->last_reload_ms);
}

struct list_row {
    const char *name, *help;
    size_t offset; // of a uint64_t in struct list_figures
};

static bool put_list_rows(struct buffer *out, const struct lists *lists, const struct list_row *row,
                          bool is_time)
{
    bool is_whole = head(out, row->name, "gauge", row->help);

    for (size_t i = 0; i < lists->count && is_whole; i++) {
        uint64_t value;

        memcpy(&value, (const char *)&lists->items[i] + row->offset, sizeof value);
        is_whole = buffer_printf(out, "%s{list=\"", row->name) &&
                   put_label(out, span_text(lists->items[i].name)) &&
                   buffer_printf(out, "\"} %" PRIu64 "\n", is_time ? value / 1000 : value);
    }
    return is_whole;
}

static bool put_lists(struct buffer *out, const struct lists *lists)
{
    static const struct list_row rows[] = {
        { "dejunk_rules", "Rules in force that decide about requests, by list",
          offsetof(struct list_figures, rules) },
        { "dejunk_rules_cosmetic", "Rules that change pages, by list",
          offsetof(struct list_figures, cosmetic) },
        { "dejunk_rules_unsupported", "Rules that nothing is done with, by list",
          offsetof(struct list_figures, unsupported) },
        { "dejunk_rules_bad", "Lines that cannot be read, by list",
          offsetof(struct list_figures, bad) },
    };
    static const struct list_row changed = { "dejunk_list_last_success_timestamp_seconds",
                                             "When the list's file was written",
                                             offsetof(struct list_figures, changed_ms) };
    bool is_whole = true;

    if (lists->count == 0)
        return true;
    for (size_t i = 0; i < sizeof rows / sizeof *rows && is_whole; i++)
        is_whole = put_list_rows(out, lists, &rows[i], false);
    return is_whole && put_list_rows(out, lists, &changed, true) &&
           seconds(out, "dejunk_rules_compiled_timestamp_seconds", "gauge",
                   "When the rules were compiled", lists->compiled_ms);
}

static bool put_processes(struct buffer *out, const struct overview *overview)
{
    const struct overview_processes *all = &overview->processes;

    return seconds(out, "process_cpu_seconds_total", "counter",
                   "Processor time of all processes of the service", all->cpu_ms) &&
           plain(out, "process_resident_memory_bytes", "gauge",
                 "Memory of all processes of the service, shared pages counted in each",
                 all->resident_bytes) &&
           plain(out, "process_virtual_memory_bytes", "gauge",
                 "Address space of all processes of the service", all->virtual_bytes) &&
           plain(out, "process_open_fds", "gauge",
                 "Descriptors of the processes that let themselves be looked at",
                 all->open_descriptors) &&
           plain(out, "process_max_fds", "gauge", "Limit of descriptors of each process",
                 all->descriptor_limit) &&
           seconds(out, "process_start_time_seconds", "gauge", "When the service was started",
                   overview->state.started_ms);
}

bool exposition_write(struct buffer *out, const struct overview *overview)
{
    return put_build(out) && put_counters(out, overview->counters) &&
           put_state(out, &overview->state) &&
           plain(out, "dejunk_passes", "gauge", "Passes given and pauses in force",
                 overview->passes.count) &&
           plain(out, "dejunk_enrolments", "gauge", "Enrolments in force",
                 overview->learned.enrolments) &&
           plain(out, "dejunk_enrolments_ended", "gauge", "Enrolments that were ended lately",
                 overview->learned.ended) &&
           plain(out, "dejunk_learned_tunnels", "gauge",
                 "Programs and hosts whose HTTPS is passed through", overview->learned.tunnels) &&
           plain(out, "dejunk_signing", "gauge", "There is an authority to open HTTPS with",
                 overview->state.is_signing) &&
           seconds(out, "dejunk_pause_seconds", "gauge",
                   "How long nothing will be filtered for anybody", overview_pause_ms(overview)) &&
           put_lists(out, &overview->lists) && put_processes(out, overview);
}
