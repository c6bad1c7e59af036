#include "cli/fetch_report.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/utf8.h"

enum { GATHERED_BYTES = 8 * 1024 * 1024, WRITE_FROM_BYTES = 256 * 1024 };

const char *fetch_amount_text(char to[FETCH_AMOUNT_ROOM], uint64_t bytes)
{
    static const char *const units[] = { "kB", "MB", "GB", "TB", "PB", "EB" };
    double amount = (double)bytes / 1000;
    size_t unit = 0;

    if (bytes < 1000) {
        snprintf(to, FETCH_AMOUNT_ROOM, "%u bytes", (unsigned)bytes);
        return to;
    }
    while (amount >= 999.95 && unit + 1 < sizeof units / sizeof *units) {
        amount /= 1000;
        unit++;
    }
    snprintf(to, FETCH_AMOUNT_ROOM, "%.*f %s", amount < 9.995 ? 2 : 1, amount, units[unit]);
    return to;
}

/* ---- writing ---- */

static void write_all(struct fetch_report *report, struct span bytes)
{
    while (bytes.size && !report->is_broken) {
        ssize_t put = write(report->fd, bytes.at, bytes.size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0) {
            report->is_broken = true;
            report->why = errno;
            return;
        }
        bytes = span_from(bytes, (size_t)put);
    }
}

/* On a terminal lines are cut: nothing wraps. */
static void write_lines(struct fetch_report *report)
{
    struct winsize size = { 0 };
    struct buffer cut = { .limit_bytes = GATHERED_BYTES };
    struct span rest = buffer_span(&report->text);

    if (!report->is_terminal || ioctl(report->fd, TIOCGWINSZ, &size) < 0 || size.ws_col < 8) {
        write_all(report, rest);
        return;
    }
    while (rest.size) {
        struct span line = span_slice(rest, 0, span_find_byte(rest, '\n'));

        rest = span_from(rest, line.size + (line.size < rest.size));
        if (line.size >= size.ws_col) { // the last column is left alone: some wrap behind it
            line.size = size.ws_col - 4u;
            buffer_append(&cut, line);
            buffer_append(&cut, SPAN("...\n"));
        } else {
            buffer_append(&cut, line);
            buffer_append(&cut, SPAN("\n"));
        }
    }
    write_all(report, buffer_span(&cut));
    buffer_release(&cut);
}

static void on_soon(void *owner)
{
    struct fetch_report *report = owner;

    if (report->text.size == 0)
        return;
    if (report->before_writing)
        report->before_writing(report->owner);
    write_lines(report);
    report->text.size = 0;
    if (report->after_writing)
        report->after_writing(report->owner);
}

void fetch_report_init(struct fetch_report *report, struct loop *loop,
                       const struct fetch_plan *plan, int fd)
{
    *report = (struct fetch_report){ .loop = loop, .plan = plan, .fd = fd };
    report->is_terminal = isatty(fd);
    report->text.limit_bytes = GATHERED_BYTES;
    report->soon.run = on_soon;
    report->soon.owner = report;
}

bool fetch_report_done(struct fetch_report *report)
{
    loop_later_cancel(report->loop, &report->soon);
    on_soon(report);
    buffer_release(&report->text);
    return !report->is_broken;
}

static void put(struct fetch_report *report, struct span text)
{
    if (!buffer_append(&report->text, text)) { // cannot be: it is written before
        report->is_broken = true;
        report->why = ENOBUFS;
    }
}

#define PUT(report, literal) put(report, SPAN(literal))

static void put_number(struct fetch_report *report, uint64_t number)
{
    char digits[20], *at = digits + sizeof digits;

    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    put(report, span_of(at, (size_t)(digits + sizeof digits - at)));
}

static void put_escaped(struct fetch_report *report, struct span text)
{
    size_t plain = 0;

    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.at[i];
        char escape[8];

        if (c >= 0x20 && c < 0x7f)
            continue;
        put(report, span_slice(text, plain, i - plain));
        snprintf(escape, sizeof escape, "\\x%02x", c);
        put(report, span_text(escape));
        plain = i + 1;
    }
    put(report, span_from(text, plain));
}

static bool is_utf8(struct span text)
{
    uint32_t code;
    size_t size = 1;

    while (text.size && size) {
        size = utf8_take(text, &code);
        text = span_from(text, size);
    }
    return size > 0;
}

static void put_letters(struct fetch_report *report, struct span text, bool in_utf8)
{
    size_t plain = 0;

    PUT(report, "\"");
    for (size_t i = 0, size = 1; i < text.size; i += size) {
        uint32_t code = (unsigned char)text.at[i];
        char escape[16];

        size = 1;
        if (code >= 0x20 && code < 0x7f && code != '"' && code != '\\')
            continue;
        put(report, span_slice(text, plain, i - plain));
        if (in_utf8)
            size = utf8_take(span_from(text, i), &code);
        if (code == '"' || code == '\\')
            snprintf(escape, sizeof escape, "\\%c", (char)code);
        else if (code >= 0x10000)
            snprintf(escape, sizeof escape, "\\u%04x\\u%04x", 0xd7c0 + (code >> 10),
                     0xdc00 + (code & 0x3ff));
        else
            snprintf(escape, sizeof escape, "\\u%04x", code);
        put(report, span_text(escape));
        plain = i + size;
    }
    put(report, span_from(text, plain));
    PUT(report, "\"");
}

/* Bytes above 127 as the Latin-1 letters that RFC 9110 says they are. */
static void put_string(struct fetch_report *report, struct span text)
{
    put_letters(report, text, false);
}

/* What is ours: URLs as they were given, names of files. */
static void put_own_string(struct fetch_report *report, struct span text)
{
    put_letters(report, text, is_utf8(text));
}

static void end_line(struct fetch_report *report)
{
    PUT(report, "\n");
    if (report->text.size >= WRITE_FROM_BYTES)
        on_soon(report);
    else
        loop_later(report->loop, &report->soon);
}

static void begin_line(struct fetch_report *report, const struct fetch_job *job)
{
    PUT(report, "[");
    put_number(report, job->number);
    PUT(report, "] ");
}

static void begin_object(struct fetch_report *report, const char *event,
                         const struct fetch_job *job)
{
    PUT(report, "{\"event\":\"");
    put(report, span_text(event));
    PUT(report, "\"");
    if (!job)
        return;
    PUT(report, ",\"number\":");
    put_number(report, job->number);
    PUT(report, ",\"url\":");
    put_own_string(report, buffer_span(&job->url));
}

static void put_key_number(struct fetch_report *report, const char *key, uint64_t number)
{
    PUT(report, ",\"");
    put(report, span_text(key));
    PUT(report, "\":");
    put_number(report, number);
}

static void put_key_string(struct fetch_report *report, const char *key, struct span text)
{
    PUT(report, ",\"");
    put(report, span_text(key));
    PUT(report, "\":");
    put_string(report, text);
}

static void put_seconds(struct fetch_report *report, uint64_t ms)
{
    char text[32];

    snprintf(text, sizeof text, "%llu.%03u", (unsigned long long)(ms / 1000),
             (unsigned)(ms % 1000));
    put(report, span_text(text));
}

/* ---- events ---- */

void fetch_report_started(struct fetch_report *report, const struct fetch_job *job)
{
    struct span method = report->plan->order.method;

    if (report->plan->is_quiet || report->plan->in_json)
        return;
    begin_line(report, job);
    put_escaped(report, method.at ? method : SPAN("GET"));
    PUT(report, " ");
    put_escaped(report, buffer_span(&job->url));
    end_line(report);
}

static void put_status_line(struct fetch_report *report, const struct message *response)
{
    PUT(report, "HTTP/1.");
    put_number(report, response->version_minor);
    PUT(report, " ");
    put_number(report, response->status);
    if (response->reason.size) {
        PUT(report, " ");
        put_escaped(report, response->reason);
    }
}

static void put_head_object(struct fetch_report *report, const struct message *response)
{
    put_key_string(report, "version",
                   response->version_minor ? SPAN("HTTP/1.1") : SPAN("HTTP/1.0"));
    put_key_number(report, "status", response->status);
    put_key_string(report, "phrase", response->reason);
    PUT(report, ",\"headers\":[");
    for (size_t i = 0; i < response->field_count; i++) {
        if (i)
            PUT(report, ",");
        PUT(report, "[");
        put_string(report, response->fields[i].name);
        PUT(report, ",");
        put_string(report, response->fields[i].value);
        PUT(report, "]");
    }
    PUT(report, "]");
}

void fetch_report_head(struct fetch_report *report, const struct fetch_job *job,
                       const struct fetch_head *head)
{
    const struct message *response = head->response;

    if (report->plan->is_quiet)
        return;
    if (report->plan->in_json) {
        begin_object(report, "headers", job);
        put_head_object(report, response);
        PUT(report, "}");
        end_line(report);
        return;
    }
    begin_line(report, job);
    put_status_line(report, response);
    PUT(report, "\n");
    for (size_t i = 0; i < response->field_count; i++) {
        begin_line(report, job);
        put_escaped(report, response->fields[i].name);
        PUT(report, ": ");
        put_escaped(report, response->fields[i].value);
        PUT(report, "\n");
    }
    report->text.size--; // the last line's end
    end_line(report);
}

void fetch_report_again(struct fetch_report *report, const struct fetch_job *job,
                        const struct fetch_again *again)
{
    bool is_redirect = again->kind == FETCH_REDIRECTED;

    if (report->plan->is_quiet)
        return;
    if (report->plan->in_json) {
        begin_object(report, is_redirect ? "redirect" : "retry", job);
        if (again->response)
            put_head_object(report, again->response);
        if (is_redirect) {
            put_key_string(report, "to", again->url);
        } else {
            put_key_number(report, "wait_ms", again->wait_ms);
            put_key_string(report, "why",
                           span_text(again->end ? fetch_end_name(again->end) : again->why));
        }
        PUT(report, "}");
        end_line(report);
        return;
    }
    begin_line(report, job);
    if (is_redirect) {
        put_status_line(report, again->response);
        PUT(report, ", to ");
        put_escaped(report, again->url);
    } else {
        PUT(report, "again in ");
        put_seconds(report, again->wait_ms);
        PUT(report, " s: ");
        put_escaped(report, span_text(again->end ? fetch_end_name(again->end) : again->why));
    }
    end_line(report);
}

static void put_path(struct buffer *to, const struct fetch_report *report,
                     const struct fetch_job *job)
{
    const char *directory = report->plan->directory;

    (void)buffer_printf(to, "%s%s%s", directory,
                        span_ends(span_text(directory), SPAN("/")) ? "" : "/", job->file.name);
}

static void put_file(struct fetch_report *report, const struct fetch_job *job)
{
    struct buffer path = { .limit_bytes = PATH_MAX + FETCH_NAME_ROOM };

    put_path(&path, report, job);
    put_escaped(report, buffer_span(&path));
    buffer_release(&path);
}

static void end_object(struct fetch_report *report, const struct fetch_job *job, const char *end,
                       const char *why, const char *sha256, const struct fetch_result *result)
{
    begin_object(report, "end", job);
    put_key_string(report, "end", span_text(end));
    if (*why)
        put_key_string(report, "why", span_text(why));
    if (result->status)
        put_key_number(report, "status", result->status);
    put_key_number(report, "bytes", job->bytes);
    if (*sha256)
        put_key_string(report, "sha256", span_text(sha256));
    if (job->has_file) {
        struct buffer path = { .limit_bytes = PATH_MAX + FETCH_NAME_ROOM };

        put_path(&path, report, job);
        PUT(report, ",\"file\":");
        put_own_string(report, buffer_span(&path));
        buffer_release(&path);
    }
    if (job->dejunk[0])
        put_key_string(report, "dejunk", span_text(job->dejunk));
    PUT(report, ",\"seconds\":");
    put_seconds(report, result->duration_ms);
    put_key_number(report, "attempts", result->attempts);
    put_key_number(report, "redirects", result->redirects);
    PUT(report, "}");
    end_line(report);
}

void fetch_report_end(struct fetch_report *report, const struct fetch_job *job, const char *end,
                      const char *why, const char *sha256, const struct fetch_result *result)
{
    bool is_done = result->end == FETCH_DONE;

    if (report->plan->in_json) {
        end_object(report, job, end, why, sha256, result);
        return;
    }
    begin_line(report, job);
    put(report, span_text(end));
    if (report->plan->is_quiet) {
        PUT(report, " ");
        put_escaped(report, buffer_span(&job->url));
    }
    if (*why) {
        put(report, is_done || result->end != FETCH_CERTIFICATE ? SPAN(": ") : SPAN(" ("));
        put_escaped(report, span_text(why));
        if (!is_done && result->end == FETCH_CERTIFICATE)
            PUT(report, ")");
    }
    if (is_done) {
        put(report, *why ? SPAN(", ") : SPAN(": "));
        if (result->status) {
            put_number(report, result->status);
            PUT(report, ", ");
        }
        put_number(report, job->bytes);
        PUT(report, " bytes, ");
        put_seconds(report, result->duration_ms);
        PUT(report, " s");
        if (job->has_file) {
            PUT(report, ", ");
            put_file(report, job);
        }
    }
    if (job->dejunk[0]) {
        PUT(report, ", dejunk: ");
        put_escaped(report, span_text(job->dejunk));
    }
    if (is_done && *sha256) { // last: it is the longest, and a terminal may have no room for it
        PUT(report, ", sha256 ");
        put(report, span_text(sha256));
    }
    end_line(report);
}

void fetch_report_summary(struct fetch_report *report, const struct fetch_counts *counts,
                          uint64_t duration_ms)
{
    char amount[FETCH_AMOUNT_ROOM], speed[FETCH_AMOUNT_ROOM];
    uint64_t each_s = counts->bytes * 1000 / (duration_ms ? duration_ms : 1);

    if (report->plan->in_json) {
        begin_object(report, "summary", NULL);
        put_key_number(report, "urls", counts->urls);
        for (size_t i = 0; i < FETCH_ENDS; i++)
            if (counts->ends[i] || i == FETCH_DONE)
                put_key_number(report, fetch_end_name((enum fetch_end)i), counts->ends[i]);
        if (counts->interrupted)
            put_key_number(report, "interrupted", counts->interrupted);
        put_key_number(report, "not_changed", counts->unchanged);
        put_key_number(report, "bytes", counts->bytes);
        PUT(report, ",\"seconds\":");
        put_seconds(report, duration_ms);
        PUT(report, "}");
        end_line(report);
        return;
    }
    put_number(report, counts->urls);
    put(report, counts->urls == 1 ? SPAN(" URL: ") : SPAN(" URLs: "));
    for (size_t i = 0; i < FETCH_ENDS; i++) {
        if (!counts->ends[i] && i != FETCH_DONE)
            continue;
        if (i != FETCH_DONE)
            PUT(report, ", ");
        put_number(report, counts->ends[i]);
        PUT(report, " ");
        put(report, span_text(fetch_end_name((enum fetch_end)i)));
    }
    if (counts->interrupted) {
        PUT(report, ", ");
        put_number(report, counts->interrupted);
        PUT(report, " interrupted");
    }
    PUT(report, "\n");
    put(report, span_text(fetch_amount_text(amount, counts->bytes)));
    PUT(report, " in ");
    put_seconds(report, duration_ms);
    PUT(report, " s, ");
    put(report, span_text(fetch_amount_text(speed, each_s)));
    PUT(report, "/s");
    end_line(report);
}
