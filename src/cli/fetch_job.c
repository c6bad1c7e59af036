#include "cli/fetch_job.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/fetch_report.h"
#include "cli/say.h"
#include "proxy/part.h"
#include "proxy/place.h"
#include "proxy/report.h"

enum {
    REHASH_BYTES = 4 * 1024 * 1024, // of a part, in one go
    NOTE_FROM_BYTES =
        1024 * 1024,   // a body as long as this can be continued although nobody said so
    PIPE_BYTES = 4096, // what a pipe takes at least when it is writable
    POUR_BYTES = 64 * 1024,
    PROBE_BYTES = 64 * 1024, // of the end of a file that nobody told of: is it the same body?
    URL_BYTES = FETCH_INPUT_LINE_BYTES,
    PLACE_ARENA_BYTES = 256 * 1024,
};

static const struct fetch_events fetch_events;

static void fill(void *owner);
static void pour(struct fetch_jobs *jobs);
static void start_anew(struct fetch_job *job);
static void start_fetch(struct fetch_job *job);

/* ---- life ---- */

static void on_over(void *owner)
{
    struct fetch_jobs *jobs = owner;
    jobs->on_all_ended(jobs->owner);
}

void fetch_jobs_init(struct fetch_jobs *jobs, struct loop *loop, struct fetcher *fetcher,
                     const struct fetch_plan *plan, struct fetch_input *input,
                     struct fetch_report *report, void (*on_all_ended)(void *owner), void *owner)
{
    *jobs = (struct fetch_jobs){
        .loop = loop,
        .fetcher = fetcher,
        .plan = plan,
        .input = input,
        .report = report,
        .on_all_ended = on_all_ended,
        .owner = owner,
        .window = plan->limits.at_once,
    };
    // Some that wait for their host, for another attempt or for their turn stop no others.
    if (plan->limits.per_host || plan->order.retries || plan->sink == FETCH_TO_OUTPUT)
        jobs->window = 4 * plan->limits.at_once + 64;
    jobs->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (!jobs->sha256)
        abort(); // no OpenSSL is without it
    jobs->fill.run = fill;
    jobs->over.run = on_over;
    jobs->fill.owner = jobs->over.owner = jobs;
}

static void free_job(struct fetch_job *job)
{
    EVP_MD_CTX_free(job->hash);
    buffer_release(&job->url);
    buffer_release(&job->canonical);
    free(job);
}

void fetch_jobs_done(struct fetch_jobs *jobs)
{
    while (jobs->free) {
        struct fetch_job *job = jobs->free;
        jobs->free = job->next;
        free_job(job);
    }
    if (jobs->output_is_watched)
        ev_io_stop(jobs->loop->ev, &jobs->output);
    loop_later_cancel(jobs->loop, &jobs->fill);
    loop_later_cancel(jobs->loop, &jobs->over);
    EVP_MD_free(jobs->sha256);
}

static struct fetch_job *job_new(struct fetch_jobs *jobs, struct span url)
{
    struct fetch_job *job = jobs->free;

    if (job) {
        struct buffer text = job->url, canonical = job->canonical;
        EVP_MD_CTX *hash = job->hash;

        jobs->free = job->next;
        memset(job, 0, sizeof *job);
        job->hash = hash;
        job->url = text;
        job->canonical = canonical;
        job->url.size = job->canonical.size = 0;
    } else {
        job = calloc(1, sizeof *job);
        if (!job)
            abort(); // out of memory ends the process
        job->hash = EVP_MD_CTX_new();
        if (!job->hash)
            abort(); // out of memory ends the process
        job->url.limit_bytes = job->canonical.limit_bytes = URL_BYTES;
    }
    job->jobs = jobs;
    job->number = ++jobs->number;
    job->whole_bytes = UINT64_MAX;
    job->file.fd = job->spool = -1;
    job->step.owner = job;
    if (url.size > URL_BYTES)
        url.size = URL_BYTES;
    buffer_append(&job->url, url);
    job->previous = jobs->last;
    if (jobs->last)
        jobs->last->next = job;
    else
        jobs->first = job;
    jobs->last = job;
    jobs->count++;
    jobs->counts.urls++;
    return job;
}

/* It has ended and nothing of it waits: its place is free. */
static void job_gone(struct fetch_job *job)
{
    struct fetch_jobs *jobs = job->jobs;

    if (job->spool >= 0)
        close(job->spool);
    loop_later_cancel(jobs->loop, &job->step);
    if (job->previous)
        job->previous->next = job->next;
    else
        jobs->first = job->next;
    if (job->next)
        job->next->previous = job->previous;
    else
        jobs->last = job->previous;
    jobs->count--;
    job->next = jobs->free;
    jobs->free = job;
    if (jobs->count == 0 && (jobs->input_has_ended || jobs->is_stopping))
        loop_later(jobs->loop, &jobs->over);
    else if (!jobs->input_has_ended)
        loop_later(jobs->loop, &jobs->fill);
}

/* ---- how a URL ends ---- */

static void read_hash(struct fetch_job *job, char text[FETCH_SHA256_TEXT])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;

    EVP_DigestFinal_ex(job->hash, digest, &size);
    for (unsigned i = 0; i < 32; i++)
        snprintf(text + 2 * (size_t)i, 3, "%02x", digest[i]);
}

static void end_job(struct fetch_job *job, const char *end, const char *why, const char *sha256,
                    const struct fetch_result *result)
{
    struct fetch_jobs *jobs = job->jobs;

    fetch_report_end(jobs->report, job, end, why, sha256, result);
    jobs->counts.ends[result->end]++;
    if (result->end == FETCH_DONE && result->status >= 400)
        jobs->counts.bad_status++;
    jobs->counts.bytes += job->bytes - job->first_byte;
    fetch_file_drop(&job->file, false);
    if (job->spool_put > job->spool_taken) {
        job->is_over = true; // what waits for its turn still comes out
        return;
    }
    job_gone(job);
    if (jobs->plan->sink == FETCH_TO_OUTPUT)
        pour(jobs);
}

/* Ended by us, without an answer to its end. */
static void end_by_ourselves(struct fetch_job *job, enum fetch_end end, const char *why,
                             const char *sha256)
{
    uint64_t now = loop_now_ms(job->jobs->loop);
    struct fetch_result result = {
        .end = end,
        .status = job->status,
        .attempts = job->is_started,
        .duration_ms = job->is_started ? now - job->started_ms : 0,
    };

    fetch_cancel(&job->fetch);
    end_job(job, fetch_end_name(end), why, sha256, &result);
}

static void fail(struct fetch_job *job, const struct error *error)
{
    struct error why = *error;
    end_by_ourselves(job, FETCH_FAILED, why.text, "");
}

/* Of what was there already nothing more is to be got. */
static void end_whole(struct fetch_job *job, const char *sha256)
{
    job->has_file = true;
    job->status = 0;
    job->jobs->counts.unchanged++;
    end_by_ourselves(job, FETCH_DONE, "was whole already", sha256);
}

/* Beside a file that is whole. */
static enum error_kind note_whole(struct fetch_job *job, const char *sha256, struct error *error)
{
    job->facts.bytes = job->bytes;
    snprintf(job->facts.sha256, sizeof job->facts.sha256, "%s", sha256);
    return fetch_file_note(&job->file, buffer_span(&job->canonical), &job->facts, error);
}

/* The temporary becomes the file. */
static enum error_kind keep_file(struct fetch_job *job, const char *sha256, struct error *error)
{
    enum error_kind kind =
        fetch_file_keep(&job->file, job->name, buffer_span(&job->canonical), error);

    if (kind != ERROR_NONE)
        return kind;
    job->has_file = true;
    if (job->jobs->plan->mode != FETCH_FILE_NEW)
        return note_whole(job, sha256, error);
    fetch_file_forget(&job->file);
    return ERROR_NONE;
}

static bool may_be_continued(const struct fetch_job *job)
{
    return job->jobs->plan->mode == FETCH_FILE_CONTINUE && job->file.fd >= 0 &&
           job->file.has_meta && job->file.size > 0 &&
           (job->facts.etag[0] || job->facts.modified[0]);
}

/* Its end is the same as that of the file that nobody told of, which is told of from now on. */
static void end_probe(struct fetch_job *job, const char *sha256)
{
    struct error error;

    if (job->probed != job->file.size) {
        start_anew(job);
        return;
    }
    fetch_file_drop(&job->file, false); // the part, which is empty
    if (note_whole(job, sha256, &error))
        fail(job, &error);
    else
        end_whole(job, sha256);
}

static void on_done(void *owner, const struct fetch_result *result)
{
    struct fetch_job *job = owner;
    struct fetch_result told = *result;
    const char *why = result->why;
    char sha256[FETCH_SHA256_TEXT] = "";
    struct error error;

    job->fetch = NULL;
    if (told.end != FETCH_DONE) {
        if (may_be_continued(job))
            fetch_file_drop(&job->file, true);
        end_job(job, fetch_end_name(told.end), why, "", &told);
        return;
    }
    read_hash(job, sha256);
    if (job->is_probing) {
        end_probe(job, sha256);
        return;
    }
    if (told.status == 304) {
        job->has_file = job->file.state == FETCH_FILE_WHOLE;
        job->bytes = job->first_byte = job->file.size;
        job->jobs->counts.unchanged++;
        end_job(job, "done", "not changed", job->file.facts.sha256, &told);
        return;
    }
    if (job->jobs->plan->sink == FETCH_TO_FILES && told.status >= 300)
        why = "not kept"; // what a server says instead of the body is no file
    if (job->keeps_body && keep_file(job, sha256, &error)) {
        told.end = FETCH_FAILED;
        why = error.text;
    }
    end_job(job, fetch_end_name(told.end), why, sha256, &told);
}

static void interrupt_job(struct fetch_job *job)
{
    struct fetch_result result = { .end = FETCH_FAILED, .status = job->status };
    struct fetch_jobs *jobs = job->jobs;

    if (!job->is_over) {
        fetch_cancel(&job->fetch);
        if (may_be_continued(job))
            fetch_file_drop(&job->file, true);
        fetch_file_drop(&job->file, false);
        if (job->is_started)
            fetch_report_end(jobs->report, job, "interrupted", "", "", &result);
        jobs->counts.interrupted++;
        jobs->counts.bytes += job->bytes - job->first_byte;
    }
    job_gone(job);
}

void fetch_jobs_stop(struct fetch_jobs *jobs)
{
    jobs->is_stopping = true;
    while (jobs->first)
        interrupt_job(jobs->first);
    loop_later(jobs->loop, &jobs->over);
}

/* ---- bodies to standard output ---- */

static void on_output(struct ev_loop *ev, ev_io *watch, int events)
{
    struct fetch_jobs *jobs = watch->data;

    (void)events;
    ev_io_stop(ev, watch);
    jobs->output_is_watched = false;
    pour(jobs);
}

/* What standard output takes now, without waiting; -1 when it is gone. */
static ssize_t write_some(struct fetch_jobs *jobs, struct span bytes)
{
    struct pollfd out = { .fd = STDOUT_FILENO, .events = POLLOUT };
    struct stat about;
    ssize_t put = 0, now;

    if (jobs->output_is_lost)
        return -1;
    bool is_file = fstat(STDOUT_FILENO, &about) == 0 && S_ISREG(about.st_mode);
    while ((size_t)put < bytes.size && poll(&out, 1, 0) > 0) {
        size_t size = bytes.size - (size_t)put;
        if (!is_file && size > PIPE_BYTES)
            size = PIPE_BYTES;
        now = write(STDOUT_FILENO, bytes.at + put, size);
        if (now < 0 && (errno == EINTR || errno == EAGAIN))
            break;
        if (now < 0) {
            say_error("cannot write to standard output: %s", strerror(errno));
            jobs->output_is_lost = true;
            return -1;
        }
        put += now;
    }
    return put;
}

static enum error_kind open_spool(struct fetch_job *job, struct error *error)
{
    const char *directory = getenv("TMPDIR");

    if (!directory || !*directory)
        directory = "/tmp";
    job->spool = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (job->spool < 0)
        return error_errno(error, ERROR_SYSTEM, "cannot make a temporary file in %s", directory);
    return ERROR_NONE;
}

/* A body's bytes: out at once when it is their turn and they are taken, else into the spool. */
static enum error_kind put_out(struct fetch_job *job, struct span bytes, struct error *error)
{
    struct fetch_jobs *jobs = job->jobs;

    if (job == jobs->first && job->spool_put == job->spool_taken) {
        ssize_t put = write_some(jobs, bytes);
        if (put < 0)
            return error_set(error, ERROR_SYSTEM, "standard output takes no more");
        bytes = span_from(bytes, (size_t)put);
    }
    if (bytes.size && job->spool < 0 && open_spool(job, error))
        return error->kind;
    while (bytes.size) {
        ssize_t put = pwrite(job->spool, bytes.at, bytes.size, (off_t)job->spool_put);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return error_errno(error, ERROR_SYSTEM, "cannot write a temporary file");
        job->spool_put += (uint64_t)put;
        bytes = span_from(bytes, (size_t)put);
    }
    if (job == jobs->first && job->spool_put > job->spool_taken) {
        pour(jobs);
        if (job->spool_put - job->spool_taken > FETCH_POUR_BYTES)
            fetch_pause(job->fetch);
    }
    return ERROR_NONE;
}

/* Pours what the first one's spool has; false when standard output takes no more for now. */
static bool pour_first(struct fetch_jobs *jobs)
{
    static char bytes[POUR_BYTES];
    struct fetch_job *job = jobs->first;

    while (job->spool_taken < job->spool_put) {
        uint64_t left = job->spool_put - job->spool_taken;
        ssize_t got = pread(job->spool, bytes, left < sizeof bytes ? (size_t)left : sizeof bytes,
                            (off_t)job->spool_taken);
        ssize_t put = got > 0 ? write_some(jobs, span_of(bytes, (size_t)got)) : -1;

        if (put < 0) {
            jobs->output_is_lost = true;
            return false;
        }
        job->spool_taken += (uint64_t)put;
        if (put < got)
            return false;
    }
    if (job->spool >= 0 && ftruncate(job->spool, 0) == 0)
        job->spool_put = job->spool_taken = 0;
    return true;
}

static void pour(struct fetch_jobs *jobs)
{
    while (jobs->first && !jobs->output_is_lost) {
        struct fetch_job *job = jobs->first;

        if (!pour_first(jobs)) {
            if (!jobs->output_is_watched && !jobs->output_is_lost) {
                ev_io_init(&jobs->output, on_output, STDOUT_FILENO, EV_WRITE);
                jobs->output.data = jobs;
                ev_io_start(jobs->loop->ev, &jobs->output);
                jobs->output_is_watched = true;
            }
            break;
        }
        if (!job->is_over) {
            if (job->fetch)
                fetch_resume(job->fetch);
            return;
        }
        job_gone(job);
    }
    if (jobs->output_is_lost && !jobs->is_stopping) {
        jobs->is_stopping = true;
        loop_later(jobs->loop, &jobs->fill); // which stops all, when nobody is in the middle of it
    }
}

/* ---- the answer ---- */

static void on_started(void *owner)
{
    struct fetch_job *job = owner;

    job->is_waiting = false;
    if (job->is_started)
        return;
    job->is_started = true;
    job->started_ms = loop_now_ms(job->jobs->loop);
    fetch_report_started(job->jobs->report, job);
}

static void on_again(void *owner, const struct fetch_again *again)
{
    struct fetch_job *job = owner;

    job->is_waiting = again->kind == FETCH_WILL_RETRY;
    fetch_report_again(job->jobs->report, job, again);
}

/* Of a long file that nobody told of only the end is asked for first, and compared. */
static bool is_worth_a_probe(const struct fetch_job *job)
{
    return job->jobs->plan->mode == FETCH_FILE_CONTINUE && job->file.state == FETCH_FILE_UNKNOWN &&
           job->file.size > PROBE_BYTES;
}

static void on_anew(void *owner)
{
    start_fetch(owner);
}

/* What was there before cannot be gone on with: the whole is asked for. */
static void start_anew(struct fetch_job *job)
{
    fetch_cancel(&job->fetch);
    job->is_anew = true;
    job->is_probing = false;
    job->bytes = job->first_byte = 0;
    job->step.run = on_anew;
    loop_later(job->jobs->loop, &job->step);
}

/* Nothing is left behind what we have (RFC 9110 section 15.5.17). */
static bool says_that_it_is_whole(const struct fetch_job *job, const struct message *response)
{
    uint64_t whole;

    return response->status == 416 &&
           part_read_none(&whole, message_value(response, FIELD_CONTENT_RANGE)) &&
           whole == job->file.size;
}

static void end_continued_whole(struct fetch_job *job)
{
    char sha256[FETCH_SHA256_TEXT];
    struct error error;

    read_hash(job, sha256);
    if (keep_file(job, sha256, &error))
        fail(job, &error);
    else
        end_whole(job, sha256);
}

/* A part was asked for. True when the answer is nothing to go on with and all is done. */
static bool judge_part(struct fetch_job *job, const struct fetch_head *head)
{
    bool is_whole = says_that_it_is_whole(job, head->response);

    if (job->is_anew)
        return false;
    job->is_probing = is_worth_a_probe(job) && head->body_from > 0 && !job->keeps_body;
    if (job->is_probing && head->whole_bytes != job->file.size) {
        start_anew(job);
        return true;
    }
    if (head->response->status == 416 &&
        (job->file.state == FETCH_FILE_PART || is_worth_a_probe(job))) {
        if (is_whole && job->file.state == FETCH_FILE_PART &&
            (head->validator.at == NULL ||
             span_equal(head->validator, span_text(job->facts.etag)) ||
             span_equal(head->validator, span_text(job->facts.modified))))
            end_continued_whole(job);
        else
            start_anew(job);
        return true;
    }
    return false;
}

static void note_validators(struct fetch_job *job, const struct fetch_head *head)
{
    struct span etag = message_value(head->response, FIELD_ETAG);
    struct span date = message_value(head->response, FIELD_LAST_MODIFIED);

    if (head->body_from == 0) // a part may leave out what the whole said
        memset(&job->facts, 0, sizeof job->facts);
    if (etag.size && etag.size < sizeof job->facts.etag)
        snprintf(job->facts.etag, sizeof job->facts.etag, "%.*s", SPAN_PRINT(etag));
    if (date.size && date.size < sizeof job->facts.modified)
        snprintf(job->facts.modified, sizeof job->facts.modified, "%.*s", SPAN_PRINT(date));
}

/* Opens the file where it is not yet, at the place that the answer begins at. */
static enum error_kind prepare_file(struct fetch_job *job, const struct fetch_head *head,
                                    struct error *error)
{
    const struct fetch_plan *plan = job->jobs->plan;
    bool is_long = head->whole_bytes == UINT64_MAX || head->whole_bytes >= NOTE_FROM_BYTES;
    struct span url = buffer_span(&job->canonical);
    struct fetch_facts part;
    enum error_kind kind = ERROR_NONE;

    if (job->file.fd < 0)
        kind = fetch_file_begin(&job->file, plan->directory_fd, job->name, url, plan->mode, error);
    if (!kind && head->body_from == 0)
        kind = fetch_file_restart(&job->file, error);
    else if (!kind)
        kind = fetch_file_resume(&job->file, head->body_from, error);
    if (kind || !head->is_plain || !head->validator.size || job->file.state == FETCH_FILE_WHOLE ||
        !(is_long || plan->mode == FETCH_FILE_CONTINUE))
        return kind;
    part = (struct fetch_facts){ .bytes = 0 };
    // Only what a part can go on by.
    if (head->validator.size < sizeof part.etag)
        memcpy(head->validator.at[0] == '"' ? part.etag : part.modified, head->validator.at,
               head->validator.size);
    return fetch_file_note(&job->file, url, &part, error);
}

static void note_report(struct fetch_job *job, const struct fetch_head *head)
{
    const struct field *field = job->jobs->plan->is_through && head->asked_why
                                    ? message_find_name(head->response, REPORT_FIELD)
                                    : NULL;

    job->dejunk[0] = '\0';
    if (field)
        snprintf(job->dejunk, sizeof job->dejunk, "%.*s", SPAN_PRINT(field->value));
}

static void on_headers(void *owner, const struct fetch_head *head)
{
    struct fetch_job *job = owner;
    const struct fetch_plan *plan = job->jobs->plan;
    unsigned status = head->response->status;
    struct error error;

    if (head->is_other) { // what is there cannot be gone on with; else the fetch says so itself
        if (!job->is_anew && plan->order.can_restart)
            start_anew(job);
        return;
    }
    if (judge_part(job, head))
        return;
    fetch_report_head(job->jobs->report, job, head);
    job->status = status;
    job->whole_bytes = head->whole_bytes;
    note_validators(job, head);
    note_report(job, head);
    if (head->body_from == 0) {
        EVP_DigestInit_ex2(job->hash, job->jobs->sha256, NULL);
        job->bytes = job->first_byte = 0;
    } else if (job->is_probing) {
        job->probed = head->body_from;
        return;
    } else if (head->body_from != job->bytes) {
        start_anew(job); // the hash is not of what comes before
        return;
    }
    job->keeps_body = plan->sink == FETCH_TO_FILES && status < 300 &&
                      !span_equal(plan->order.method, SPAN("HEAD"));
    if (job->keeps_body && prepare_file(job, head, &error))
        fail(job, &error);
}

static void on_body(void *owner, struct span bytes)
{
    struct fetch_job *job = owner;
    const struct fetch_plan *plan = job->jobs->plan;
    bool is_bad = plan->minds_status && job->status >= 400;
    enum error_kind kind = ERROR_NONE;
    struct error error;

    if (job->is_probing) {
        if (fetch_file_has(&job->file, job->probed, bytes))
            job->probed += bytes.size;
        else
            start_anew(job);
        return;
    }
    EVP_DigestUpdate(job->hash, bytes.at, bytes.size);
    job->bytes += bytes.size;
    if (job->keeps_body)
        kind = fetch_file_write(&job->file, bytes, &error);
    else if (plan->sink == FETCH_TO_OUTPUT && !is_bad)
        kind = put_out(job, bytes, &error);
    if (kind)
        fail(job, &error);
}

static const struct fetch_events fetch_events = {
    .on_started = on_started,
    .on_headers = on_headers,
    .on_body = on_body,
    .on_again = on_again,
    .on_done = on_done,
};

/* ---- beginning ---- */

static void start_fetch(struct fetch_job *job)
{
    struct fetch_order order = job->jobs->plan->order;
    const struct fetch_file *file = &job->file;

    order.url = buffer_span(&job->url);
    if (!job->is_anew && file->state == FETCH_FILE_PART) {
        order.from_byte = file->size;
        order.if_range = span_text(file->facts.etag[0] ? file->facts.etag : file->facts.modified);
    }
    if (!job->is_anew && is_worth_a_probe(job))
        order.from_byte = file->size - PROBE_BYTES;
    if (!job->is_anew && file->state == FETCH_FILE_WHOLE) {
        order.if_none_match = span_text(file->facts.etag);
        if (!order.if_none_match.size)
            order.if_modified_since = span_text(file->facts.modified);
    }
    job->fetch = fetch_start(job->jobs->fetcher, &order, &fetch_events, job);
}

/* What is there is hashed first, some of it each round, so that others go on. */
static void on_rehash(void *owner)
{
    static char bytes[POUR_BYTES];
    struct fetch_job *job = owner;
    uint64_t until = job->bytes + REHASH_BYTES;
    struct error error;

    while (job->bytes < job->file.size && job->bytes < until) {
        uint64_t left = job->file.size - job->bytes;
        size_t got = fetch_file_read(&job->file, job->bytes, bytes,
                                     left < sizeof bytes ? (size_t)left : sizeof bytes);
        if (got == 0) {
            error_set(&error, ERROR_SYSTEM, "cannot read what is there of %s", job->file.name);
            fail(job, &error);
            return;
        }
        EVP_DigestUpdate(job->hash, bytes, got);
        job->bytes += got;
    }
    if (job->bytes < job->file.size) {
        loop_later(job->jobs->loop, &job->step);
        return;
    }
    job->first_byte = job->bytes;
    start_fetch(job);
}

static void on_found_whole(void *owner)
{
    struct fetch_job *job = owner;

    job->bytes = job->first_byte = job->file.size;
    end_whole(job, job->file.facts.sha256);
}

static void on_failed(void *owner)
{
    struct fetch_job *job = owner;
    end_by_ourselves(job, FETCH_FAILED, "no name in the directory is free for it", "");
}

/* Where something of it may be there already, that is found out first. */
static void begin_in_directory(struct fetch_job *job)
{
    const struct fetch_plan *plan = job->jobs->plan;
    struct error error;

    if (fetch_file_begin(&job->file, plan->directory_fd, job->name, buffer_span(&job->canonical),
                         plan->mode, &error)) {
        job->step.run = on_failed;
        loop_later(job->jobs->loop, &job->step);
        return;
    }
    if (plan->mode == FETCH_FILE_CONTINUE && job->file.state == FETCH_FILE_WHOLE) {
        job->step.run = on_found_whole;
        loop_later(job->jobs->loop, &job->step);
        return;
    }
    if (job->file.state == FETCH_FILE_PART &&
        !(plan->mode == FETCH_FILE_CONTINUE &&
          (job->file.facts.etag[0] || job->file.facts.modified[0])))
        job->file.state = FETCH_FILE_NOTHING;
    if (job->file.state == FETCH_FILE_PART || is_worth_a_probe(job)) {
        job->facts = job->file.facts;
        job->step.run = on_rehash;
        loop_later(job->jobs->loop, &job->step);
        return;
    }
    start_fetch(job);
}

static void begin_job(struct fetch_jobs *jobs, struct span url)
{
    struct fetch_job *job = job_new(jobs, url);
    struct arena arena;
    struct place place;

    EVP_DigestInit_ex2(job->hash, jobs->sha256, NULL);
    if (jobs->plan->sink != FETCH_TO_FILES) {
        start_fetch(job);
        return;
    }
    arena_init(&arena, PLACE_ARENA_BYTES);
    if (place_read(&place, &arena, buffer_span(&job->url), NULL, NULL)) {
        start_fetch(job); // which says what is wrong with it
    } else {
        buffer_append(&job->canonical, place.url);
        fetch_name_of(job->name, place.target.path_and_query);
        if (jobs->plan->mode == FETCH_FILE_NEW)
            start_fetch(job);
        else
            begin_in_directory(job);
    }
    arena_done(&arena);
}

static void fill(void *owner)
{
    struct fetch_jobs *jobs = owner;
    struct span url;
    struct error error;

    if (jobs->output_is_lost) {
        fetch_jobs_stop(jobs);
        return;
    }
    while (!jobs->is_stopping && !jobs->input_has_ended && jobs->count < jobs->window) {
        switch (fetch_input_next(jobs->input, &url, &error)) {
        case FETCH_INPUT_URL:
            begin_job(jobs, url);
            break;
        case FETCH_INPUT_WAIT:
            return;
        case FETCH_INPUT_FAILED:
            say_error("%s", error.text);
            jobs->input_failed = true;
            break;
        case FETCH_INPUT_END:
            jobs->input_has_ended = true;
            break;
        }
    }
    if (jobs->input_has_ended && jobs->count == 0)
        loop_later(jobs->loop, &jobs->over);
}

void fetch_jobs_start(struct fetch_jobs *jobs)
{
    loop_later(jobs->loop, &jobs->fill);
}

void fetch_jobs_more(struct fetch_jobs *jobs)
{
    loop_later(jobs->loop, &jobs->fill);
}
