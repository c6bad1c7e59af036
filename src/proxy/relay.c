#include "proxy/relay.h"

#include <assert.h>
#include <sys/socket.h>

#include "base/log.h"
#include "proxy/alternatives.h"
#include "proxy/amendment.h"
#include "proxy/answer.h"
#include "proxy/bound.h"
#include "proxy/intercept.h"
#include "proxy/sending.h"
#include "proxy/via.h"

/* The exchange that holds the connection; NULL when it has let go of it in an earlier event. */
static struct exchange *of_parser(void *owner)
{
    struct exchange *x = ((struct outgoing *)owner)->owner;

    return x->is_over || x->outgoing != owner ? NULL : x;
}

/* ---- the head ---- */

static void on_interim(void *owner)
{
    struct exchange *x = of_parser(owner);
    struct buffer *head;
    struct outbox *outbox;
    size_t from;

    if (!x || x->request.version_minor == 0 || x->status)
        return;
    outbox = &x->session->outbox;
    if (x->response.status == 100 && !x->request.expects_continue)
        return; // nobody asked
    message_drop_hop_by_hop(&x->response);
    head = outbox_head(outbox);
    from = head->size;
    if (http1_write_response(head, &x->response, x->request.method, false))
        outbox_put_head(outbox, from);
}

static void note_authentication(struct exchange *x)
{
    for (const struct field *field = message_find(&x->response, FIELD_WWW_AUTHENTICATE); field;
         field = message_find_next(&x->response, field))
        if (bound_is_offered(field->value)) {
            x->outgoing->is_tainted = true;
            message_add(&x->response, SPAN("Proxy-Support"),
                        SPAN("Session-Based-Authentication")); // RFC 4559 section 6
            return;
        }
}

/* Images also where the browser has them already, or asks for a part. */
static bool may_be_dropped(const struct exchange *x)
{
    return x->response.status == 200 || x->response.status == 203 || x->response.status == 206 ||
           (x->response.status == 304 && x->judgement.type == TYPE_IMAGE);
}

/* Rules that change something by the answer's fields, or by the address that it came from. Those of
 * another generation than the request was asked of stay out of it. */
static void ask_for_more(struct exchange *x, const struct case_file *file)
{
    struct database *rules = judge_database(x->proxy->judge);

    if (!x->directives.may_grow || (x->rules && x->rules != rules))
        return;
    x->directives = judge_directives(x->proxy->judge, file, &x->judgement);
    if (!x->rules && x->directives.count)
        x->rules = database_ref(rules);
}

/* By what only the response tells. False: it is dropped, and answered in its place. */
static bool judge_answer(struct exchange *x)
{
    struct judge *judge = x->proxy->judge;
    struct case_file file = exchange_case(x);

    if ((may_be_dropped(x) && judge_response(judge, &file, &x->response, &x->judgement)) ||
        (!x->response.is_upgrade && judge_fields(judge, &file, &x->judgement))) {
        answer_stopped(x);
        return false;
    }
    ask_for_more(x, &file);
    if (message_find(&x->response, FIELD_SET_COOKIE) && judge_drops_cookies(&file, &x->judgement)) {
        message_drop(&x->response, FIELD_SET_COOKIE);
        count(x->proxy, METRIC_COOKIES_DROPPED);
        x->action = ACTION_MODIFIED;
    }
    if (x->directives.count && amend_response(judge_amender(x->proxy->judge), &x->directives,
                                              &x->response, x->judgement.type))
        x->action = ACTION_MODIFIED;
    return true;
}

static void put_response_head(struct exchange *x)
{
    struct message *response = &x->response;
    struct outbox *outbox = &x->session->outbox;
    struct buffer *head;
    size_t from;

    if (x->report.is_wanted) {
        if (x->rework.chain)
            report_note(&x->report, &x->arena, "body", SPAN("edited"));
        else if (x->action == ACTION_MODIFIED && x->report.changes.size == 0)
            report_note(&x->report, &x->arena, "more", SPAN("headers"));
        message_add(response, REPORT_FIELD, report_value(&x->report, &x->arena, SPAN_NONE));
    }
    x->status = response->status;
    if (response->framing == FRAMING_CHUNKED && x->request.version_minor == 0)
        response->framing = FRAMING_UNTIL_CLOSE;
    x->is_until_close = response->framing == FRAMING_UNTIL_CLOSE;
    if (!x->request.keep_alive || x->request.version_minor == 0 || x->is_until_close ||
        x->proxy->is_draining || (x->session->peer_finished && x->session->early.size == 0))
        x->close_browser = true;
    head = outbox_head(outbox);
    from = head->size;
    if (http1_write_response(head, response, x->request.method,
                             x->close_browser && !response->is_upgrade))
        outbox_put_head(outbox, from);
    else
        x->close_browser = true;
}

static void on_response_headers(void *owner)
{
    struct exchange *x = of_parser(owner);
    struct message *response;

    if (!x)
        return;
    response = &x->response;
    if (response->is_upgrade && (!x->request.is_upgrade || !x->request_finished)) {
        struct error error;
        error_set(&error, ERROR_SYNTAX, "the origin switched protocols %s",
                  x->request.is_upgrade ? "before the request had ended" : "unasked");
        sending_failed(x, &error);
        return;
    }
    if (intercept_note_asked_again(x->session, x->outgoing))
        x->close_browser = x->outgoing->is_tainted = true;
    report_strip(response);
    if (!x->is_local && !judge_answer(x))
        return;
    report_note_dropped(&x->report, &x->arena, response);
    note_authentication(x);
    x->is_event_stream =
        span_starts_nocase(message_value(response, FIELD_CONTENT_TYPE), SPAN("text/event-stream"));
    message_drop_hop_by_hop(response);
    if (message_find(response, FIELD_ALT_SVC))
        alternatives_strip(response);
    via_add(x, response);
    if (x->is_event_stream || !rework_response(&x->rework, response))
        put_response_head(x);
}

static void on_response_body(void *owner, struct span bytes)
{
    struct exchange *x = of_parser(owner);

    if (!x)
        return;
    x->response_bytes += bytes.size;
    if (!x->rework.chain)
        exchange_put_body(&x->session->outbox, x->response.framing, bytes);
    else if (!chain_give(x->rework.chain, bytes))
        assert(!"it is not read while the chain is busy");
}

static void on_response_finished(void *owner)
{
    struct exchange *x = of_parser(owner);

    if (!x)
        return;
    x->response_finished = true;
    if (x->rework.chain)
        chain_end(x->rework.chain);
    else if (x->response.framing == FRAMING_CHUNKED)
        exchange_put_last_chunk(&x->session->outbox, &x->response);
}

static void on_response_error(void *owner, const struct error *error, unsigned status)
{
    struct exchange *x = of_parser(owner);

    (void)status;
    if (!x)
        return;
    if (error->kind != ERROR_LOST)
        count(x->proxy, METRIC_BAD_RESPONSES);
    sending_failed(x, error);
}

const struct phases_events relay_response_events = {
    .on_interim = on_interim,
    .on_headers_finished = on_response_headers,
    .on_body = on_response_body,
    .on_finished = on_response_finished,
    .on_error = on_response_error,
};

/* ---- the connection goes back ---- */

/* The last read of a long body ends where the body does, so what comes behind it was not seen. */
static bool has_unseen(const struct exchange *x)
{
    int fd = stream_splice_fd(&x->outgoing->stream);
    char byte;

    return x->response_bytes >= LOOP_SCRATCH_BYTES / 2 && fd >= 0 &&
           recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
}

/* The response is parsed to its end: the connection goes back, or ends. */
static void let_outgoing_go(struct exchange *x, bool has_extra)
{
    struct outgoing *outgoing = x->outgoing;
    bool clean = !has_extra && x->response.keep_alive && !x->response.is_abnormal &&
                 x->request_finished && !x->upload_is_void && outbox_is_empty(&outgoing->outbox) &&
                 !x->upload.in_pipe && !has_unseen(x);

    x->outgoing = NULL;
    if (!clean) {
        outgoing_close(outgoing, false);
    } else if (outgoing->is_tainted) { // NTLM or Negotiate: it is this browser's own
        bound_keep(x->session, &outgoing, x->settings->config->pool_idle_timeout_ms);
    } else {
        outgoing_release(outgoing);
    }
}

/* The origin answered before it had the whole request, and still takes the rest of it. */
static bool upload_goes_on(const struct exchange *x)
{
    bool is_whole =
        x->request_finished && outbox_is_empty(&x->outgoing->outbox) && !x->upload.in_pipe;

    return !is_whole && !x->upload_is_void && x->response.keep_alive && !x->response.is_abnormal;
}

void relay_response_is_done(struct exchange *x, bool has_extra)
{
    struct session *session = x->session;

    if (has_extra || !upload_goes_on(x)) {
        let_outgoing_go(x, has_extra);
        exchange_try_end(x);
    } else {
        sending_enter_splice(x);
        sending_update(x);
    }
    if (session->state == SESSION_BUSY && session->exchange == x)
        session_update(session);
}

/* ---- a body that is changed ---- */

/* What the chain has made goes to the browser, as far as it is taken; is_all: it makes no more.
 * False: the browser is gone, and so is the exchange. */
static bool put_reworked(struct exchange *x, bool is_all)
{
    struct session *session = x->session;
    struct span bytes, rest;
    bool ends;

    do {
        rest = bytes = chain_output(x->rework.chain);
        if (bytes.size > CHAIN_OUTPUT_BYTES)
            bytes.size = CHAIN_OUTPUT_BYTES;
        if (bytes.size)
            exchange_put_body(&session->outbox, x->response.framing, bytes);
        ends = is_all && bytes.size == rest.size;
        if (ends)
            rework_trailers(&x->rework);
        if (ends && x->response.framing == FRAMING_CHUNKED)
            exchange_put_last_chunk(&session->outbox, &x->response);
        if (!outbox_flush(&session->outbox)) {
            session_close(session, true);
            return false;
        }
        x->reworked_bytes += bytes.size;
        chain_taken(x->rework.chain, bytes.size);
    } while (bytes.size < rest.size && outbox_is_empty(&session->outbox));
    if (ends)
        exchange_stop_rework(x);
    return true;
}

/* It is not what it says it is: it goes by as it came. */
static bool pass_by(struct exchange *x)
{
    struct session *session = x->session;
    struct span bytes = chain_raw(x->rework.chain);

    put_response_head(x);
    if (bytes.size)
        exchange_put_body(&session->outbox, x->response.framing, bytes);
    if (x->response_finished && x->response.framing == FRAMING_CHUNKED)
        exchange_put_last_chunk(&session->outbox, &x->response);
    if (!outbox_flush(&session->outbox)) {
        session_close(session, true);
        return false;
    }
    rework_done(&x->rework);
    return true;
}

/* The body cannot be undone: it is cut, so that the browser does not take it for whole. */
static void rework_failed(struct exchange *x, const struct error *error)
{
    log_info("exchange=%llu the response cannot be decoded: %s", (unsigned long long)x->number,
             error->text);
    count(x->proxy, METRIC_BAD_RESPONSES);
    x->action = ACTION_ERROR;
    exchange_drop_outgoing(x);
    exchange_cut(x);
}

/* A slice of work for the response's chain, when the browser has taken what was there. False: the
 * exchange is over. */
static bool rework_on(struct exchange *x)
{
    enum chain_state state;
    struct error error;

    if (!x->rework.chain || !outbox_is_empty(&x->session->outbox))
        return true;
    if (x->rework.is_waiting) {
        switch (rework_decide(&x->rework)) {
        case REWORK_WAITS:
            return true;
        case REWORK_PASSES:
            return pass_by(x);
        case REWORK_EDITS:
            put_response_head(x);
            break;
        }
    }
    state = chain_run(x->rework.chain, &error);
    if (!put_reworked(x, state == CHAIN_FINISHED))
        return false;
    if (state == CHAIN_FAILED) {
        rework_failed(x, &error);
        return false;
    }
    if (state == CHAIN_BUSY && outbox_is_empty(&x->session->outbox))
        loop_later(x->proxy->loop, &x->working);
    return true;
}

void relay_work(void *owner)
{
    struct exchange *x = owner;
    struct session *session = x->session;

    if (!rework_on(x))
        return;
    exchange_try_end(x);
    if (session->state != SESSION_BUSY || session->exchange != x)
        return;
    sending_update(x);
    session_update(session);
}

/* ---- bytes ---- */

/* After bytes of the response: out with them, and on. */
static void relay_on(struct exchange *x, struct span rest)
{
    struct session *session = x->session;

    if (x->rework.chain) {
        if (!rework_on(x))
            return;
    } else if (!outbox_flush(&session->outbox)) {
        session_close(session, true);
        return;
    }
    if (x->response_finished) {
        if (x->response.is_upgrade) {
            exchange_become_tunnel(x, rest);
            return;
        }
        relay_response_is_done(x, rest.size > 0);
        return;
    }
    if (!x->downloads_by_splice && x->status && !x->rework.chain &&
        outbox_is_empty(&session->outbox)) {
        uint64_t left = http1_raw_left(x->outgoing->parser);
        if (left == UINT64_MAX && x->response_bytes < SPLICE_FROM_BYTES)
            left = 0;
        x->downloads_by_splice =
            left >= SPLICE_FROM_BYTES && flow_can_splice(&x->outgoing->stream, &session->stream);
    }
    sending_update(x);
    session_update(session);
}

static bool has_head(const struct exchange *x)
{
    return x->status || x->rework.chain;
}

void relay_wait_on(struct exchange *x)
{
    const struct config *config = x->settings->config;

    loop_timer_set(&x->outgoing->timer, !has_head(x)         ? config->response_header_timeout_ms
                                        : x->is_event_stream ? config->tunnel_idle_timeout_ms
                                                             : config->idle_body_timeout_ms);
}

/* Bytes of the response came; a head has one limit for all of it. */
static void note_response(struct exchange *x)
{
    if (has_head(x))
        relay_wait_on(x);
}

static bool is_alive(const struct exchange *x, const struct session *session)
{
    return session->state != SESSION_CLOSED && session->exchange == x && x->outgoing;
}

static void origin_ended(struct exchange *x)
{
    struct session *session = x->session;

    http1_end(x->outgoing->parser); // raises finished, or an error
    if (!is_alive(x, session) || !x->response_finished)
        return;
    x->response.keep_alive = false;
    relay_on(x, SPAN_NONE);
}

static void copy_download(struct exchange *x)
{
    struct session *session = x->session;
    struct outgoing *outgoing = x->outgoing;
    char *scratch = x->proxy->loop->scratch;
    size_t got = 0, eaten;
    struct error error;

    switch (stream_read(&outgoing->stream, scratch, LOOP_SCRATCH_BYTES, &got)) {
    case STREAM_OK:
        metrics_add(x->proxy->metrics, METRIC_BYTES_FROM_ORIGIN, got);
        x->got_response = true;
        eaten = http1_feed(outgoing->parser, span_of(scratch, got));
        if (!is_alive(x, session))
            return;
        note_response(x);
        relay_on(x, span_from(span_of(scratch, got), eaten));
        break;
    case STREAM_WAIT:
        break;
    case STREAM_END:
        origin_ended(x);
        break;
    case STREAM_LOST:
        error_set(&error, ERROR_LOST, "the connection to %.*s was reset",
                  SPAN_PRINT(x->target.host));
        sending_failed(x, &error);
        break;
    }
}

static void splice_download(struct exchange *x, bool takes_more)
{
    struct session *session = x->session;
    struct outgoing *outgoing = x->outgoing;
    uint64_t left = takes_more ? http1_raw_left(outgoing->parser) : 0, taken, put;
    struct stream *from = outgoing ? &outgoing->stream : NULL;
    enum flow_outcome outcome =
        flow_splice(x->proxy, &x->download, from, &session->stream, left, &taken, &put);
    struct error error;

    metrics_add(x->proxy->metrics, METRIC_BYTES_FROM_ORIGIN, taken);
    metrics_add(x->proxy->metrics, METRIC_BYTES_TO_BROWSER, put);
    x->response_bytes += taken;
    if (put)
        session_note_progress(session);
    if (taken) {
        assert(outgoing);
        note_response(x);
        http1_skip(outgoing->parser, taken); // may set response_finished
    }
    switch (outcome) {
    case FLOW_BLOCKED:
    case FLOW_DRY:
    case FLOW_TURN_OVER:
        break;
    case FLOW_LIMIT:
        if (x->outgoing && x->response_finished) {
            relay_on(x, SPAN_NONE);
            return;
        }
        if (x->response_finished) { // the origin's connection went while the browser was slow
            exchange_try_end(x);
            return;
        }
        break;
    case FLOW_NO_PIPE:
        x->downloads_by_splice = false;
        copy_download(x);
        return;
    case FLOW_ENDED:
        origin_ended(x);
        return;
    case FLOW_FROM_LOST:
        error_set(&error, ERROR_LOST, "the connection to %.*s was reset",
                  SPAN_PRINT(x->target.host));
        sending_failed(x, &error);
        return;
    case FLOW_TO_LOST:
        session_close(session, true);
        return;
    }
    sending_update(x);
    session_update(session);
}

void relay_browser_writable(struct exchange *x)
{
    struct session *session = x->session;

    if (!outbox_is_empty(&session->outbox))
        return;
    if (x->download.in_pipe) {
        splice_download(x, x->outgoing && !x->response_finished);
        return;
    }
    if (x->rework.chain) {
        relay_work(x);
        return;
    }
    if (x->response_finished && !x->outgoing) {
        exchange_try_end(x);
        return;
    }
    sending_update(x);
}

/* ---- what the connection tells ---- */

static void on_origin_readable(void *owner)
{
    struct exchange *x = owner;

    if (x->response_finished) { // it ended, or says more than it was asked
        if (!outgoing_is_quiet(x->outgoing))
            relay_response_is_done(x, true);
        return;
    }
    if (x->download.in_pipe) // these come first
        return;
    if (x->downloads_by_splice)
        splice_download(x, true);
    else
        copy_download(x);
}

static void on_origin_writable(void *owner)
{
    struct exchange *x = owner;
    struct session *session = x->session;

    if (x->upload.in_pipe) {
        sending_splice(x);
        return;
    }
    sending_flush(x);
    if (session->state == SESSION_BUSY)
        session_resume(session);
}

static void on_origin_timeout(void *owner)
{
    struct exchange *x = owner;
    struct error error;

    if (x->response_finished) { // it does not take the rest of the request
        count(x->proxy, METRIC_TIMEOUTS);
        relay_response_is_done(x, true);
        return;
    }
    if (!outbox_is_empty(&x->session->outbox) || x->download.in_pipe ||
        loop_task_is_queued(&x->working)) {
        relay_wait_on(x); // it is the browser that we wait for
        return;
    }
    if (!x->request_finished && !x->upload_is_void && !x->upload.in_pipe &&
        outbox_is_empty(&x->outgoing->outbox)) { // so it is here, with the request
        relay_wait_on(x);
        return;
    }
    count(x->proxy, METRIC_TIMEOUTS);
    error_set(&error, ERROR_TIMEOUT, "%.*s %s in time", SPAN_PRINT(x->target.host),
              x->status ? "did not go on with its answer" : "did not answer");
    x->was_retried = true; // not again
    sending_failed(x, &error);
}

const struct outgoing_events relay_outgoing_events = {
    .on_readable = on_origin_readable,
    .on_writable = on_origin_writable,
    .on_timeout = on_origin_timeout,
};
