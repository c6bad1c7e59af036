#include "proxy/session.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/log.h"
#include "io/presence.h"
#include "proxy/bound.h"
#include "proxy/exchange.h"
#include "proxy/intercept.h"
#include "proxy/relay.h"
#include "proxy/sending.h"
#include "proxy/tunnel.h"

enum { EARLY_LIMIT_BYTES = SESSION_EARLY_BYTES + LOOP_SCRATCH_BYTES + HTTP1_FIRST_LINE_BYTES };

/* ---- connections of each client address ---- */

struct client {
    struct table_node node; // first
    struct address address; // without port
    size_t connections;
};

static bool is_client(const struct table_node *node, const void *key)
{
    return address_equal(&((const struct client *)node)->address, key);
}

/* False when the address has as many connections as it may. Loopback is not counted. */
static bool client_enter(struct session *session)
{
    struct proxy *proxy = session->proxy;
    struct address plain = address_unwrap(&session->peer);
    struct client *client;
    uint64_t hash;

    if (address_classify(&plain) == ADDRESS_LOOPBACK)
        return true;
    plain.v4.sin_port = 0; // at the same place in both families
    hash = table_hash(&proxy->clients, span_of((char *)&plain, address_size(&plain)));
    client = (struct client *)table_find(&proxy->clients, hash, is_client, &plain);
    if (!client) {
        client = calloc(1, sizeof *client);
        if (!client)
            abort(); // out of memory ends the worker; the master starts another
        client->address = plain;
        table_add(&proxy->clients, &client->node, hash);
    } else if (client->connections >= proxy->settings->config->client_connections) {
        return false;
    }
    client->connections++;
    session->client = client;
    return true;
}

static void client_leave(struct session *session)
{
    struct client *client = session->client;

    session->client = NULL;
    if (!client || --client->connections)
        return;
    table_remove(&session->proxy->clients, &client->node);
    free(client);
}

/* ---- lists ---- */

static void list_remove(struct session *session)
{
    struct session_list *list = session->list;

    if (!list)
        return;
    if (session->previous)
        session->previous->next = session->next;
    else
        list->first = session->next;
    if (session->next)
        session->next->previous = session->previous;
    else
        list->last = session->previous;
    list->count--;
    session->list = NULL;
}

static void list_move(struct session *session, struct session_list *list)
{
    if (session->list == list)
        return;
    list_remove(session);
    session->list = list;
    session->previous = list->last;
    session->next = NULL;
    if (list->last)
        list->last->next = session;
    else
        list->first = session;
    list->last = session;
    list->count++;
}

/* ---- state and time ---- */

static void wait_for(struct session *session, enum session_wait wait, uint64_t ms)
{
    session->wait = wait;
    loop_timer_set(&session->timer, ms);
}

static void enter(struct session *session, enum session_state state)
{
    static const bool may_follow[][SESSION_CLOSED + 1] = {
        [SESSION_IDLE] = { [SESSION_BUSY] = true, [SESSION_CLOSED] = true },
        [SESSION_BUSY] = { [SESSION_IDLE] = true,
                           [SESSION_TUNNEL] = true,
                           [SESSION_CLOSING] = true,
                           [SESSION_CLOSED] = true },
        [SESSION_TUNNEL] = { [SESSION_IDLE] = true, [SESSION_CLOSED] = true },
        [SESSION_CLOSING] = { [SESSION_CLOSED] = true },
        [SESSION_CLOSED] = { false },
    };

    assert(may_follow[session->state][state]);
    session->state = state;
    if (state != SESSION_CLOSED)
        list_move(session, state == SESSION_IDLE ? &session->proxy->idle_sessions
                                                 : &session->proxy->busy_sessions);
}

static void dig(struct loop_grave *grave)
{
    struct session *session = (struct session *)((char *)grave - offsetof(struct session, grave));

    buffer_release(&session->early); // not before: a parser may still stand in it
    free(session);
}

void session_close(struct session *session, bool reset)
{
    struct proxy *proxy = session->proxy;

    if (session->state == SESSION_CLOSED)
        return;
    enter(session, SESSION_CLOSED);
    list_remove(session);
    if (session->exchange)
        exchange_abort(session->exchange);
    if (session->tunnel)
        tunnel_let_go(session->tunnel, reset);
    session->tunnel = NULL;
    bound_drop(session);
    loop_timer_stop(&session->timer);
    outbox_done(&session->outbox);
    if (session->intercept)
        intercept_let_go(session->intercept);
    session->intercept = NULL;
    scope_free(&session->scope);
    client_leave(session);
    if (reset)
        stream_reset(&session->stream);
    else
        stream_close(&session->stream);
    metrics_subtract(proxy->metrics, METRIC_BROWSER_OPEN, 1);
    loop_bury(proxy->loop, &session->grave, dig);
    proxy_note_end(proxy);
}

bool session_spare_one(struct proxy *proxy)
{
    if (!proxy->idle_sessions.first)
        return false;
    session_close(proxy->idle_sessions.first, false);
    return true;
}

static void become_idle(struct session *session)
{
    enter(session, SESSION_IDLE);
    wait_for(session, WAIT_REQUEST, session->proxy->settings->config->keep_alive_timeout_ms);
}

/* The last answer is in the outbox: write it, then see the browser off. */
static void go_on_closing(struct session *session)
{
    if (session->outbox.is_broken) {
        session_close(session, true);
        return;
    }
    if (!outbox_is_empty(&session->outbox)) {
        stream_want(&session->stream, STREAM_WRITE);
        return;
    }
    if (session->may_close_at_once && session->early.size == 0) {
        session_close(session, false);
        return;
    }
    if (!session->peer_finished) // what it still sends must not cost it the answer
        stream_linger(&session->stream);
    session_close(session, false);
}

void session_update(struct session *session)
{
    const struct config *config = session->proxy->settings->config;
    struct exchange *x = session->exchange;
    bool writes, reads;

    if (session->state == SESSION_CLOSING) {
        go_on_closing(session);
        return;
    }
    if (session->state != SESSION_IDLE && session->state != SESSION_BUSY)
        return;
    writes = !outbox_is_empty(&session->outbox) || (x && x->download.in_pipe > 0);
    reads = !session->peer_finished;
    if (x && reads) {
        enum exchange_reads may = exchange_reads(x);
        reads =
            may == READS_ON || (may == READS_EARLY && session->early.size < SESSION_EARLY_BYTES);
    }
    stream_want(&session->stream, (reads ? STREAM_READ : 0) | (writes ? STREAM_WRITE : 0));

    if (session->state == SESSION_IDLE)
        return;
    if (writes) {
        if (session->wait != WAIT_WRITE)
            wait_for(session, WAIT_WRITE, config->idle_body_timeout_ms);
    } else if (x && !x->head_finished) {
        if (session->wait != WAIT_HEAD)
            wait_for(session, WAIT_HEAD, config->request_header_timeout_ms);
    } else if (x && !x->request_finished && !x->is_paused && !x->upload_is_void &&
               exchange_reads(x) != READS_NOT) { // it is not the origin that we wait for
        if (session->wait != WAIT_BODY) {
            session->upload_bytes = 0;
            wait_for(session, WAIT_BODY, config->idle_body_timeout_ms);
        }
    } else if (session->peer_finished) { // and waits for the origin as we do, if it is there
        if (session->wait != WAIT_PROBE)
            wait_for(session, WAIT_PROBE, SESSION_PROBE_MS);
    } else {
        session->wait = WAIT_NOTHING; // the timer may ring for nothing
    }
}

void session_note_progress(struct session *session)
{
    if (session->wait == WAIT_WRITE || session->wait == WAIT_BODY)
        loop_timer_set(&session->timer, session->proxy->settings->config->idle_body_timeout_ms);
}

void session_note_upload(struct session *session, uint64_t bytes)
{
    if (session->wait != WAIT_BODY)
        return;
    session->upload_bytes += bytes;
    if (session->upload_bytes < SESSION_UPLOAD_STEP_BYTES)
        return;
    session->upload_bytes = 0;
    session_note_progress(session);
}

/* A browser that finished sending and waits may be gone: an interim response tells, because a
 * closed peer answers it with a reset. HTTP/1.0 has none, nor has a response that has begun; there
 * the kernel's probes must do. */
static void probe(struct session *session)
{
    struct exchange *x = session->exchange;

    if (!x || !outbox_is_empty(&session->outbox))
        return;
    if (!session->was_probed) {
        session->was_probed = true;
        session->look_ms = SESSION_LOOK_MS;
        presence_ask(session->stream.fd);
        if (x->request.version_minor > 0 && !x->status) {
            outbox_put(&session->outbox, SPAN("HTTP/1.1 100 Continue\r\n\r\n"));
            outbox_flush(&session->outbox);
        }
    }
    if (session->outbox.is_broken || presence_is_lost(session->stream.fd)) {
        session_close(session, true);
        return;
    }
    wait_for(session, WAIT_PROBE, session->look_ms);
    if (session->look_ms < PRESENCE_LOOK_MS)
        session->look_ms *= 2;
}

static void on_timer(void *owner)
{
    struct session *session = owner;

    switch (session->wait) {
    case WAIT_NOTHING:
        break;
    case WAIT_REQUEST:
        if (session->state == SESSION_IDLE)
            session_close(session, false);
        break;
    case WAIT_HEAD:
    case WAIT_BODY:
        count(session->proxy, METRIC_TIMEOUTS);
        session->wait = WAIT_NOTHING;
        exchange_timed_out(session->exchange);
        break;
    case WAIT_WRITE:
        count(session->proxy, METRIC_TIMEOUTS);
        session_close(session, true);
        break;
    case WAIT_PROBE:
        session->wait = WAIT_NOTHING;
        probe(session);
        break;
    }
}

/* ---- reading ---- */

/* Feeds exchange after exchange; returns how many bytes were taken. */
static size_t feed(struct session *session, struct span bytes)
{
    size_t eaten = 0;

    session->is_feeding = true;
    while (eaten < bytes.size) {
        struct exchange *x = session->exchange;
        size_t bite;

        if (session->state == SESSION_IDLE) {
            enter(session, SESSION_BUSY);
            session->has_asked = true;
            if (session->scope)
                session->scope->has_asked = true;
            x = session->exchange = exchange_new(session);
        } else if (session->state != SESSION_BUSY || exchange_reads(x) != READS_ON) {
            break;
        }
        bite = exchange_feed(x, span_from(bytes, eaten));
        eaten += bite;
        if (session->exchange == x && bite == 0)
            break;
    }
    session->is_feeding = false;
    return eaten;
}

/* What comes of it goes out at once. The session may be closed then. */
static size_t feed_and_send(struct session *session, struct span bytes)
{
    size_t eaten = feed(session, bytes);

    if (session->state != SESSION_CLOSED && session->exchange)
        sending_flush(session->exchange);
    return eaten;
}

static void feed_early(struct session *session)
{
    size_t eaten;

    if (session->early.size == 0)
        return;
    eaten = feed_and_send(session, buffer_span(&session->early));
    if (session->state == SESSION_CLOSED)
        return;
    if (eaten > session->early.size)
        eaten = session->early.size;
    if (eaten == session->early.size)
        buffer_release(&session->early);
    else
        buffer_consume(&session->early, eaten);
}

void session_resume(struct session *session)
{
    if (session->is_feeding || session->state == SESSION_CLOSED)
        return;
    feed_early(session);
    if (session->state == SESSION_CLOSED)
        return;
    if (session->peer_finished && session->early.size == 0 &&
        (session->state == SESSION_IDLE ||
         (session->state == SESSION_BUSY && !session->exchange->request_finished))) {
        session_close(session, false); // it will never finish this request
        return;
    }
    session_update(session);
}

static void take(struct session *session, struct span bytes)
{
    metrics_add(session->proxy->metrics, METRIC_BYTES_FROM_BROWSER, bytes.size);
    session_note_upload(session, bytes.size);
    session->early.limit_bytes = EARLY_LIMIT_BYTES;
    if (session->early.size) {
        if (!buffer_append(&session->early, bytes)) {
            session_close(session, true); // reading goes on only below the ceiling
            return;
        }
        feed_early(session);
    } else {
        size_t eaten = feed_and_send(session, bytes);

        if (eaten < bytes.size && session->state != SESSION_CLOSED &&
            session->state != SESSION_CLOSING &&
            !buffer_append(&session->early, span_from(bytes, eaten)))
            session_close(session, true);
    }
}

static void finished_sending(struct session *session)
{
    session->peer_finished = true;
    if (session->state == SESSION_IDLE) {
        session_close(session, false);
        return;
    }
    if (session->state != SESSION_BUSY)
        return;
    if (!session->exchange->request_finished && !session->exchange->is_paused) {
        session_close(session, true);
        return;
    }
    session_update(session);
}

static void on_readable(void *owner)
{
    struct session *session = owner;
    char *scratch = session->proxy->loop->scratch;
    size_t got = 0;

    if (session->state == SESSION_BUSY && sending_is_by_splice(session->exchange)) {
        sending_splice(session->exchange);
        return;
    }
    switch (stream_read(&session->stream, scratch, LOOP_SCRATCH_BYTES, &got)) {
    case STREAM_OK:
        take(session, span_of(scratch, got));
        if (session->state != SESSION_CLOSED)
            session_update(session);
        break;
    case STREAM_WAIT:
        break;
    case STREAM_END:
        finished_sending(session);
        break;
    case STREAM_LOST:
        intercept_note_loss(session);
        session_close(session, true);
        break;
    }
}

static void on_writable(void *owner)
{
    struct session *session = owner;
    uint64_t before = session->outbox.written_bytes;

    if (!outbox_flush(&session->outbox)) {
        session_close(session, true);
        return;
    }
    if (session->outbox.written_bytes != before)
        session_note_progress(session);
    if (session->exchange)
        relay_browser_writable(session->exchange);
    if (session->state != SESSION_CLOSED)
        session_update(session);
}

static const struct stream_events stream_events = { on_readable, on_writable };

void session_end_idle(struct proxy *proxy)
{
    struct session_list *idle = &proxy->idle_sessions;

    for (size_t left = idle->count; left > 0 && idle->first; left--) {
        struct session *session = idle->first;

        list_remove(session); // to the end, so that each is seen once
        list_move(session, idle);
        on_readable(session);
        if (session->state != SESSION_IDLE)
            continue;
        if (session->has_asked)
            session_close(session, false);
        else
            wait_for(session, WAIT_REQUEST, SESSION_FIRST_MS);
    }
}

/* ---- for exchanges and tunnels ---- */

void session_exchange_ended(struct session *session, bool close)
{
    session->exchange = NULL;
    session->was_probed = false;
    if (session->proxy->is_draining)
        close = true;
    if (close || (session->peer_finished && session->early.size == 0)) {
        enter(session, SESSION_CLOSING);
        if (session->wait != WAIT_WRITE)
            wait_for(session, WAIT_WRITE, session->proxy->settings->config->idle_body_timeout_ms);
        if (!session->is_feeding)
            go_on_closing(session);
        return;
    }
    session->may_close_at_once = false;
    become_idle(session);
    session_resume(session);
}

void session_start_tunnel(struct session *session)
{
    session->exchange = NULL;
    session->wait = WAIT_NOTHING;
    loop_timer_stop(&session->timer);
    enter(session, SESSION_TUNNEL);
}

void session_end_tunnel(struct session *session)
{
    session->tunnel = NULL;
    session->intercept = NULL;
    session->stream.events = &stream_events;
    session->stream.owner = session;
    become_idle(session);
    session_resume(session);
}

/* ---- accepting ---- */

void session_open(struct proxy *proxy, int fd, const struct address *peer)
{
    struct session *session = calloc(1, sizeof *session);

    if (!session)
        abort(); // out of memory ends the worker; the master starts another
    session->proxy = proxy;
    session->peer = *peer;
    stream_init_tcp(&session->stream, proxy->loop, fd, &stream_events, session);
    outbox_init(&session->outbox, &proxy->stage, &session->stream);
    loop_timer_init(&session->timer, proxy->loop, on_timer, session);
    count(proxy, METRIC_BROWSER_OPENED);
    metrics_add(proxy->metrics, METRIC_BROWSER_OPEN, 1);
    session->state = SESSION_IDLE;
    list_move(session, &proxy->idle_sessions);
    if (!client_enter(session)) {
        char text[ADDRESS_TEXT_BYTES];
        log_warning("client=%s has %zu connections, which is client_connections; closed one more",
                    address_text(peer, text), proxy->settings->config->client_connections);
        session_close(session, true);
        return;
    }
    wait_for(session, WAIT_REQUEST, proxy->settings->config->keep_alive_timeout_ms);
    on_readable(session); // the request is often there already
    if (session->state == SESSION_IDLE)
        stream_want(&session->stream, STREAM_READ);
}
