#include "proxy/exchange.h"

#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "proxy/access_log.h"
#include "proxy/answer.h"
#include "proxy/intercept.h"
#include "proxy/relay.h"
#include "proxy/route.h"
#include "proxy/sending.h"
#include "proxy/tally.h"
#include "proxy/tunnel.h"

static const struct phases_events request_events;

/* ---- life ---- */

struct exchange *exchange_new(struct session *session)
{
    struct proxy *proxy = session->proxy;
    struct exchange *x = proxy->free_exchanges;

    if (x) {
        struct http1 *parser = x->parser;
        struct arena arena = x->arena;

        proxy->free_exchanges = x->next_free;
        proxy->free_exchange_count--;
        memset(x, 0, sizeof *x);
        x->parser = parser;
        x->arena = arena;
    } else {
        x = calloc(1, sizeof *x);
        if (!x)
            abort(); // out of memory ends the worker; the master starts another
        arena_init(&x->arena, EXCHANGE_ARENA_BYTES);
        x->parser = http1_new(SIDE_BROWSER, &request_events, x);
    }
    x->proxy = proxy;
    x->session = session;
    x->settings = proxy->settings;
    settings_ref(x->settings);
    x->number = ++proxy->exchange_number;
    x->working.run = relay_work;
    x->working.owner = x;
    x->started_ms = loop_now_ms(proxy->loop);
    message_init(&x->request, &x->arena, true);
    http1_begin(x->parser, &x->request, METHOD_OTHER);
    return x;
}

static void free_exchange(struct exchange *x)
{
    http1_free(&x->parser);
    arena_done(&x->arena);
    free(x);
}

static void dig(struct loop_grave *grave)
{
    struct exchange *x = (struct exchange *)((char *)grave - offsetof(struct exchange, grave));
    struct proxy *proxy = x->proxy;

    if (proxy->free_exchange_count >= FREE_EXCHANGES || http1_phase(x->parser) != PHASE_FINISHED) {
        free_exchange(x);
        return;
    }
    arena_reset(&x->arena);
    x->next_free = proxy->free_exchanges;
    proxy->free_exchanges = x;
    proxy->free_exchange_count++;
}

void exchange_free_all(struct proxy *proxy)
{
    while (proxy->free_exchanges) {
        struct exchange *x = proxy->free_exchanges;
        proxy->free_exchanges = x->next_free;
        free_exchange(x);
    }
    proxy->free_exchange_count = 0;
}

static void count_action(const struct exchange *x)
{
    static const enum metric metrics[ACTIONS] = {
        [ACTION_PASSED] = METRIC_REQUESTS_PASSED,
        [ACTION_BLOCKED] = METRIC_REQUESTS_BLOCKED,
        [ACTION_REDIRECTED] = METRIC_REQUESTS_REDIRECTED,
        [ACTION_MODIFIED] = METRIC_REQUESTS_MODIFIED,
        [ACTION_TUNNELED] = METRIC_REQUESTS_TUNNELED,
        [ACTION_LOCAL] = METRIC_REQUESTS_LOCAL,
        [ACTION_REFUSED] = METRIC_REQUESTS_REFUSED,
        [ACTION_ERROR] = METRIC_REQUESTS_ERROR,
    };

    count(x->proxy, metrics[x->action]);
}

void exchange_drop_outgoing(struct exchange *x)
{
    if (x->outgoing)
        outgoing_close(x->outgoing, true);
    x->outgoing = NULL;
}

void exchange_stop_rework(struct exchange *x)
{
    loop_later_cancel(x->proxy->loop, &x->working);
    rework_done(&x->rework);
    if (x->rework.has_changed && x->action == ACTION_PASSED)
        x->action = ACTION_MODIFIED;
}

static void note_spared(struct exchange *x)
{
    if (x->is_local || x->request.method == METHOD_CONNECT)
        return;
    tally_note(
        x->proxy,
        &(struct tally_entry){
            .judgement = &x->judgement,
            .host = x->target.host,
            .has_size = x->judgement.is_stopped && x->response.has_length,
            .bytes = x->judgement.is_stopped ? x->response.body_bytes : x->response_bytes,
            .was_answered = x->status == 200 && x->response_finished && x->action != ACTION_ERROR,
            .removed_bytes = x->rework.counts.removed_bytes,
            .removed_elements = x->rework.counts.removed_elements,
        });
}

/* Lets go of everything; the session must not know it any more. */
static void bury(struct exchange *x)
{
    x->is_over = true;
    outgoing_cancel(&x->claim);
    auth_cancel(x->proxy, &x->question);
    flow_done(x->proxy, &x->upload);
    flow_done(x->proxy, &x->download);
    exchange_stop_rework(x);
    exchange_drop_outgoing(x);
    if (x->head_finished) {
        count_action(x);
        note_spared(x);
        access_log_exchange(x);
    }
    settings_unref(&x->settings);
    database_unref(&x->rules);
    loop_bury(x->proxy->loop, &x->grave, dig);
}

void exchange_abort(struct exchange *x)
{
    x->session->exchange = NULL;
    bury(x);
}

void exchange_try_end(struct exchange *x)
{
    struct session *session = x->session;
    bool close = x->close_browser;

    if (!x->response_finished || x->outgoing || x->download.in_pipe || x->rework.chain)
        return;
    if (!x->request_finished)
        close = true;
    if (!outbox_is_empty(&session->outbox) && !close) {
        session_update(session); // relay_browser_writable() comes back here
        return;
    }
    session->may_close_at_once = x->request_finished && !x->request.keep_alive;
    session->exchange = NULL;
    bury(x);
    session_exchange_ended(session, close);
}

void exchange_cut(struct exchange *x)
{
    struct session *session = x->session;

    outbox_flush(&session->outbox);
    session_close(session, x->is_until_close || session->outbox.is_broken);
}

/* False: the browser is gone, and so is the exchange. */
static bool grant_connect(struct exchange *x)
{
    struct session *session = x->session;

    x->status = 200;
    outbox_put(&session->outbox, SPAN("HTTP/1.1 200 Connection established\r\n\r\n"));
    if (outbox_flush(&session->outbox))
        return true;
    session_close(session, true);
    return false;
}

void exchange_become_tunnel(struct exchange *x, struct span first)
{
    struct session *session = x->session;
    struct outgoing *outgoing = x->outgoing;
    uint64_t idle_ms = x->settings->config->tunnel_idle_timeout_ms;
    struct scope_plan plan = {
        .host = x->target.host, .to = x->target.host, .user = x->user, .port = x->target.port
    };
    struct scope *scope = NULL;

    x->action = ACTION_TUNNELED;
    if (x->request.method == METHOD_CONNECT) {
        if (!grant_connect(x))
            return;
        scope = scope_new(&plan); // there may be HTTP inside
    }
    x->outgoing = NULL;
    session_start_tunnel(session);
    session->note = access_log_keep(x);
    tunnel_start(session, outgoing, first, &scope, idle_ms);
    bury(x);
}

bool exchange_become_intercept(struct exchange *x)
{
    struct session *session = x->session;
    struct intercept_plan plan = {
        .settings = x->settings,
        .host = x->target.host,
        .user = x->user,
        .port = x->target.port,
        .is_literal = target_is_literal(&x->target),
        .is_rooted = x->target.is_rooted,
        .is_stopped = x->judgement.is_stopped,
        .is_our_name = route_is_own_name(x->target.host),
    };

    if (!intercept_may(session, &plan))
        return false;
    x->action = ACTION_TUNNELED;
    if (!grant_connect(x))
        return true;
    session_start_tunnel(session);
    plan.note = access_log_keep(x);
    intercept_start(session, &plan);
    bury(x);
    return true;
}

/* ---- what both sides share ---- */

void exchange_put_body(struct outbox *outbox, enum framing framing, struct span bytes)
{
    char head[HTTP1_CHUNK_HEAD_BYTES];

    if (framing == FRAMING_CHUNKED) {
        outbox_put_copy(outbox, span_of(head, http1_chunk_head(head, bytes.size)));
        outbox_put(outbox, bytes);
        outbox_put(outbox, SPAN("\r\n"));
    } else {
        outbox_put(outbox, bytes);
    }
}

void exchange_put_last_chunk(struct outbox *outbox, const struct message *message)
{
    struct buffer *head = outbox_head(outbox);
    size_t from = head->size;

    if (http1_write_last_chunk(head, message))
        outbox_put_head(outbox, from);
}

struct case_file exchange_case(struct exchange *x)
{
    bool is_answered = x->status || x->got_response;
    const struct outgoing *outgoing = is_answered ? x->outgoing : NULL;
    struct span url = x->request.target;

    if (x->request.target_form != TARGET_ABSOLUTE)
        url = arena_printf(&x->arena, "http%s://%.*s%.*s", exchange_is_secure(x) ? "s" : "",
                           SPAN_PRINT(x->target.authority), SPAN_PRINT(x->target.path_and_query));
    return (struct case_file){ .settings = x->settings,
                               .request = &x->request,
                               .target = &x->target,
                               .url = url,
                               .client = &x->session->peer,
                               .user = x->user,
                               .response = is_answered ? &x->response : NULL,
                               .server = outgoing && !outgoing->origin->parent ? &outgoing->address
                                                                               : NULL };
}

/* ---- the request ---- */

static void on_request_headers(void *owner)
{
    struct exchange *x = owner;

    if (x->is_over)
        return;
    x->head_finished = true;
    route_request(x);
}

static void on_request_body(void *owner, struct span bytes)
{
    struct exchange *x = owner;

    if (!x->is_over && x->outgoing && !x->upload_is_void)
        exchange_put_body(&x->outgoing->outbox, x->request.framing, bytes);
}

static void on_request_finished(void *owner)
{
    struct exchange *x = owner;

    if (x->is_over)
        return;
    x->request_finished = true;
    if (x->outgoing && !x->upload_is_void && x->request.framing == FRAMING_CHUNKED)
        exchange_put_last_chunk(&x->outgoing->outbox, &x->request);
    exchange_try_end(x);
}

static void on_request_error(void *owner, const struct error *error, unsigned status)
{
    struct exchange *x = owner;

    if (x->is_over)
        return;
    if (x->status) { // the answer is under way: the rest of the request is not understood
        x->close_browser = true;
        if (!x->response_finished) {
            exchange_cut(x);
            return;
        }
        exchange_drop_outgoing(x); // it waits for the rest
        exchange_try_end(x);
        return;
    }
    answer_bad_request(x, status, error);
}

static const struct phases_events request_events = {
    .on_headers_finished = on_request_headers,
    .on_body = on_request_body,
    .on_finished = on_request_finished,
    .on_error = on_request_error,
};

size_t exchange_feed(struct exchange *x, struct span bytes)
{
    return http1_feed(x->parser, bytes);
}

enum exchange_reads exchange_reads(const struct exchange *x)
{
    if (x->request_finished || x->is_paused)
        return READS_EARLY;
    if (x->upload.in_pipe)
        return READS_NOT;
    if (x->outgoing && !x->upload_is_void && !outbox_is_empty(&x->outgoing->outbox))
        return READS_NOT;
    return READS_ON;
}

void exchange_hold_body(struct exchange *x)
{
    if (x->request.framing == FRAMING_NONE || x->request_finished)
        return;
    x->is_paused = true;
    http1_pause(x->parser);
}

void exchange_let_body_go(struct exchange *x)
{
    if (!x->is_paused)
        return;
    x->is_paused = false;
    http1_resume(x->parser);
}

void exchange_timed_out(struct exchange *x)
{
    struct error error;

    if (x->status) {
        exchange_cut(x);
        return;
    }
    error_set(&error, ERROR_TIMEOUT, "the request did not %s in time",
              x->head_finished ? "go on" : "end its header");
    answer_with(x, &(struct answer){
                       .status = 408,
                       .action = ACTION_REFUSED,
                       .text = span_text(error.text),
                       .close = true,
                   });
    if (x->session->state != SESSION_CLOSED)
        session_update(x->session);
}
