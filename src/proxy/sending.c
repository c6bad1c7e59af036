#include "proxy/sending.h"

#include "base/log.h"
#include "proxy/answer.h"
#include "proxy/bound.h"
#include "proxy/intercept.h"
#include "proxy/interception.h"
#include "proxy/relay.h"
#include "proxy/route.h"
#include "proxy/via.h"

/* ---- what goes out ---- */

/* Who asks, in fields that no browser can send. */
static void add_caller(struct exchange *x)
{
    char text[ADDRESS_TEXT_BYTES];
    struct span client = arena_printf(&x->arena, "%s", address_text(&x->session->peer, text));

    for (size_t i = 0; i < x->request.field_count; i++)
        if (span_starts_nocase(x->request.fields[i].name, SPAN("X-Dejunk-")))
            x->request.fields[i].is_dropped = true;
    message_add(&x->request, SPAN("X-Dejunk-Client"), client);
    if (x->user.size)
        message_add(&x->request, SPAN("X-Dejunk-User"), x->user);
}

/* The response may be changed: then it must come in a way that allows it. */
static void ask_for_rework(struct exchange *x)
{
    rework_request(&x->rework, &x->request,
                   &(struct rework_question){ .proxy = x->proxy,
                                              .file = exchange_case(x),
                                              .judgement = &x->judgement,
                                              .directives = &x->directives,
                                              .number = x->number });
}

/* What the request becomes on its way; once, however often it is sent. */
static void prepare_request(struct exchange *x)
{
    for (const struct field *field = message_find(&x->request, FIELD_AUTHORIZATION); field;
         field = message_find_next(&x->request, field))
        if (bound_is_for(field->value))
            x->outgoing->is_tainted = true; // each connection that it is sent on
    if (x->was_sent)
        return;
    message_drop_hop_by_hop(&x->request);
    via_add(x, &x->request);
    if (x->is_local)
        add_caller(x);
    else
        ask_for_rework(x);
    if (x->judgement.wants_gpc)
        message_set(&x->request, FIELD_SEC_GPC, SPAN("1"));
}

static void send_head(struct exchange *x)
{
    struct outgoing *outgoing = x->outgoing;
    const struct parent *parent = outgoing->origin->parent;
    struct http1_request_line line = { .target = x->target.path_and_query,
                                       .host = x->target.authority };
    struct buffer *head;
    size_t from;

    prepare_request(x);
    if (parent && parent->kind == PARENT_HTTP && !exchange_is_secure(x)) {
        struct span path = x->target.path_and_query;
        if (span_equal(path, SPAN("*")))
            path = SPAN_NONE; // RFC 9112 section 3.2.4: the last proxy makes it "*"
        line.target = arena_printf(&x->arena, "http://%.*s%.*s", SPAN_PRINT(x->target.authority),
                                   SPAN_PRINT(path));
        if (parent->authorization.at && !x->was_sent)
            message_add(&x->request, SPAN("Proxy-Authorization"), parent->authorization);
    }
    x->was_sent = true;
    x->upload_is_void = false;
    outgoing->uses++;
    if (!outgoing->parser)
        outgoing->parser = http1_new(SIDE_OUTGOING, &relay_response_events, outgoing);
    message_init(&x->response, &x->arena, false);
    http1_begin(outgoing->parser, &x->response, x->request.method);

    head = outbox_head(&outgoing->outbox);
    from = head->size;
    if (!http1_write_request(head, &x->request, &line)) {
        struct error error;
        error_set(&error, ERROR_LIMIT, "the request is too large");
        answer_error(x, ACTION_ERROR, 431, &error);
        return;
    }
    outbox_put_head(&outgoing->outbox, from);
    loop_timer_set(&outgoing->timer, x->settings->config->response_header_timeout_ms);
    if (x->request.framing == FRAMING_NONE || x->request_finished || x->request.expects_continue)
        sending_flush(x); // else it goes out together with the body's first bytes
    else
        stream_want(&outgoing->stream, STREAM_READ | STREAM_WRITE);
}

/* ---- the connection ---- */

static void hold(struct exchange *x, struct outgoing *outgoing)
{
    x->outgoing = outgoing;
    outgoing->events = &relay_outgoing_events;
    outgoing->owner = x;
}

/* A kept connection was opened for another request: its address is asked of the rules for this
 * one. False: they stop it, and it is answered. */
static bool kept_may_be_used(struct exchange *x)
{
    struct outgoing *outgoing = x->outgoing;
    struct error error;

    if (outgoing->origin->parent || outgoing->is_fresh ||
        route_may_use(x, &outgoing->address, outgoing->answer, &error))
        return true;
    x->outgoing = NULL;
    outgoing_release(outgoing);
    answer_stopped(x);
    return false;
}

static bool can_be_sent_again(const struct exchange *x)
{
    return x->request.framing == FRAMING_NONE && method_is_idempotent(x->request.method);
}

/* There is no connection, or it failed before a status was out. */
static void answer_instead(struct exchange *x, enum exchange_action action,
                           const struct error *error)
{
    struct session *session = x->session;

    if (x->is_local)
        answer_local(x);
    else if (x->judgement.is_stopped) // by what the name stands for
        answer_stopped(x);
    else
        answer_error(x, action, 0, error);
    if (session->state != SESSION_CLOSED)
        session_resume(session);
}

static void on_outgoing_ready(void *owner, struct outgoing *outgoing);
static void on_outgoing_failed(void *owner, const struct error *error);

void sending_claim(struct exchange *x, bool fresh_only)
{
    struct outgoing_target target = {
        .to = { .host = x->target.host,
                .port = x->target.port,
                .is_literal = target_is_literal(&x->target),
                .is_rooted = x->target.is_rooted },
        .settings = x->settings,
        .parent = x->settings->parent_count && !x->is_local
                      ? settings_parent_for(x->settings, x->target.host)
                      : NULL,
        .is_local = x->is_local,
        .is_tunnel = x->request.method == METHOD_CONNECT,
        .fresh_only = fresh_only,
        .is_once = !can_be_sent_again(x),
    };
    const struct scope *scope = x->session->scope;
    struct outgoing_tls tls;
    struct outgoing *outgoing = NULL;

    if (exchange_is_secure(x) && !x->is_local) {
        tls = interception_towards(x->proxy->interception, x->settings, scope);
        if (!tls.roots) { // a reload took them away since the tunnel was opened
            struct error error;
            error_set(&error, ERROR_TLS, "no certificate is trusted for this host any more");
            x->close_browser = true;
            answer_instead(x, ACTION_ERROR, &error);
            return;
        }
        target.tls = &tls;
        target.to.host = scope->to;
        target.to.is_literal = scope->to_is_literal;
        target.to.is_rooted = scope->to_is_rooted;
    }
    if (x->is_local) // one place, by whatever name it was asked for
        target.to = (struct destination){ .host = SPAN("dejunk"), .port = 80 };
    x->claim.on_ready = on_outgoing_ready;
    x->claim.on_failed = on_outgoing_failed;
    x->claim.may_use = route_may_use;
    x->claim.owner = x;
    if (!fresh_only && !target.is_tunnel && !x->is_local)
        outgoing = bound_take(x->session, &target);
    if (!outgoing)
        outgoing = outgoing_claim(x->proxy, &x->claim, &target);
    if (!outgoing) {
        exchange_hold_body(x);
        return;
    }
    hold(x, outgoing);
    if (kept_may_be_used(x))
        send_head(x);
}

static void on_outgoing_ready(void *owner, struct outgoing *outgoing)
{
    struct exchange *x = owner;
    struct session *session = x->session;

    hold(x, outgoing);
    x->judgement.is_stopped = false; // what was said of another address that was tried beside it
    if (x->request.method != METHOD_CONNECT && outgoing->early.size) {
        struct error error;
        exchange_let_body_go(x);
        error_set(&error, ERROR_SYNTAX, "%.*s answers before it was asked",
                  SPAN_PRINT(x->target.host));
        sending_failed(x, &error);
        return;
    }
    if (x->request.method == METHOD_CONNECT) {
        exchange_become_tunnel(x, buffer_span(&outgoing->early));
        return;
    }
    exchange_let_body_go(x);
    if (kept_may_be_used(x))
        send_head(x);
    if (session->state == SESSION_CLOSED || session->exchange != x)
        return;
    sending_flush(x);
    if (session->state != SESSION_CLOSED)
        session_resume(session);
}

static void on_outgoing_failed(void *owner, const struct error *error)
{
    struct exchange *x = owner;
    struct session *session = x->session;
    enum exchange_action action = error->kind == ERROR_FORBIDDEN ? ACTION_REFUSED : ACTION_ERROR;

    exchange_let_body_go(x);
    if (exchange_is_secure(x) && x->claim.failure != OUTGOING_UNREACHED) {
        // It was good when the tunnel was opened. The next one is the browser's own affair.
        x->close_browser = true;
        if (x->claim.failure == OUTGOING_WANTS_CERTIFICATE)
            intercept_note_wanted(session);
    }
    answer_instead(x, action, error);
}

static bool may_retry(const struct exchange *x)
{
    return !x->got_response && !x->was_retried &&
           (x->outgoing->uses > 1 || !x->outgoing->is_fresh) && can_be_sent_again(x);
}

void sending_failed(struct exchange *x, const struct error *error)
{
    bool again = may_retry(x);

    if (intercept_note_asked_again(x->session, x->outgoing)) {
        x->close_browser = true;
        again = false; // it would only ask that again, too
    }
    exchange_drop_outgoing(x);
    if (again) {
        x->was_retried = true;
        count(x->proxy, METRIC_RETRIES);
        sending_claim(x, true);
        return;
    }
    if (x->status) {
        log_info("exchange=%llu the response broke off: %s", (unsigned long long)x->number,
                 error->text);
        x->action = ACTION_ERROR;
        exchange_cut(x);
        return;
    }
    answer_instead(x, ACTION_ERROR, error);
}

/* ---- the body ---- */

void sending_update(struct exchange *x)
{
    struct outgoing *outgoing = x->outgoing;
    bool reads, writes;

    if (!outgoing)
        return;
    reads = outbox_is_empty(&x->session->outbox) && !x->download.in_pipe &&
            !loop_task_is_queued(&x->working);
    if (reads)
        backlog_go_on(&outgoing->backlog, outgoing->stream.fd, loop_now_ms(x->proxy->loop));
    else if (outgoing->stream.wanted & STREAM_READ)
        backlog_stop(&outgoing->backlog, outgoing->stream.fd, loop_now_ms(x->proxy->loop));
    writes = !x->upload_is_void && (!outbox_is_empty(&outgoing->outbox) || x->upload.in_pipe);
    stream_want(&outgoing->stream, (reads ? STREAM_READ : 0) | (writes ? STREAM_WRITE : 0));
}

/* The origin takes no more of the body; it may still have an answer for us. */
static void upload_broke(struct exchange *x)
{
    x->upload_is_void = true;
    x->uploads_by_splice = false;
    x->outgoing->is_tainted = true;
    flow_done(x->proxy, &x->upload);
}

void sending_enter_splice(struct exchange *x)
{
    uint64_t left;

    if (x->uploads_by_splice || x->request_finished || x->is_paused || x->upload_is_void ||
        !outbox_is_empty(&x->outgoing->outbox) || x->session->early.size)
        return;
    left = http1_raw_left(x->parser);
    x->uploads_by_splice =
        left >= SPLICE_FROM_BYTES && flow_can_splice(&x->session->stream, &x->outgoing->stream);
}

void sending_flush(struct exchange *x)
{
    struct outgoing *outgoing = x->outgoing;

    if (!outgoing)
        return;
    if (!x->upload_is_void) {
        uint64_t before = outgoing->outbox.written_bytes;
        if (!outbox_flush(&outgoing->outbox))
            upload_broke(x);
        metrics_add(x->proxy->metrics, METRIC_BYTES_TO_ORIGIN,
                    outgoing->outbox.written_bytes - before);
        if (outgoing->outbox.written_bytes != before)
            relay_wait_on(x);
    }
    if (x->response_finished) {
        relay_response_is_done(x, false);
        return;
    }
    sending_enter_splice(x);
    sending_update(x);
}

bool sending_is_by_splice(const struct exchange *x)
{
    return x->uploads_by_splice && !x->upload.in_pipe;
}

void sending_splice(struct exchange *x)
{
    struct session *session = x->session;
    struct outgoing *outgoing = x->outgoing;
    uint64_t left = http1_raw_left(x->parser), taken, put;
    enum flow_outcome outcome =
        flow_splice(x->proxy, &x->upload, &session->stream, &outgoing->stream, left, &taken, &put);

    metrics_add(x->proxy->metrics, METRIC_BYTES_FROM_BROWSER, taken);
    metrics_add(x->proxy->metrics, METRIC_BYTES_TO_ORIGIN, put);
    if (put)
        relay_wait_on(x);
    session_note_upload(session, taken);
    if (taken)
        http1_skip(x->parser, taken); // may raise on_request_finished()
    if (session->state == SESSION_CLOSED || session->exchange != x)
        return;
    switch (outcome) {
    case FLOW_DRY:
    case FLOW_BLOCKED:
    case FLOW_TURN_OVER:
    case FLOW_LIMIT:
        if (x->request_finished)
            x->uploads_by_splice = false;
        break;
    case FLOW_NO_PIPE:
        x->uploads_by_splice = false; // by copy, until the next flush tries again
        break;
    case FLOW_TO_LOST:
        upload_broke(x);
        break;
    case FLOW_ENDED:
    case FLOW_FROM_LOST:
        session_close(session, true);
        return;
    }
    if (x->response_finished) {
        relay_response_is_done(x, false);
        return;
    }
    sending_update(x);
    session_update(session);
}
