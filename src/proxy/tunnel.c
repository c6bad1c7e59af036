#include "proxy/tunnel.h"

#include <stdlib.h>

#include "base/log.h"
#include "io/presence.h"
#include "io/stream_tls.h"
#include "proxy/access_log.h"
#include "proxy/body.h"
#include "proxy/judge.h"

enum {
    TURNS = 8,
    TLS_HANDSHAKE = 0x16, // the first byte of TLS
    TLS_QUIET_LOOKS = 8,
};

struct direction {
    struct stream *from, *to;
    struct outbox *outbox; // of `to`
    struct flow flow;
    struct backlog backlog; // of `from`
    uint64_t bytes;
    bool splices, has_ended, is_shut;
};

struct tunnel {
    struct proxy *proxy;
    struct session *session;
    struct outgoing *outgoing;
    struct access_note *note; // of the exchange that began it; NULL: nothing is logged
    struct direction up, down;
    uint64_t idle_ms;
    uint64_t last_bytes;
    struct loop_timer presence; // of a browser that finished sending
    uint64_t seen_bytes;        // at the last look for it
    unsigned quiet_looks;
    bool sniffs, is_tls;
    struct scope *scope;           // for HTTP inside; NULL: it is not looked for
    struct hello_collector *hello; // while it sniffs, of TLS
    struct loop_grave grave;
};

static void dig(struct loop_grave *grave)
{
    free((char *)grave - offsetof(struct tunnel, grave));
}

static void forget_hello(struct tunnel *tunnel)
{
    if (tunnel->hello)
        hello_collector_done(tunnel->hello);
    free(tunnel->hello);
    tunnel->hello = NULL;
}

static void bury(struct tunnel *tunnel)
{
    flow_done(tunnel->proxy, &tunnel->up.flow);
    flow_done(tunnel->proxy, &tunnel->down.flow);
    scope_free(&tunnel->scope);
    forget_hello(tunnel);
    loop_timer_stop(&tunnel->presence);
    tunnel->proxy->tunnels--;
    access_log_tunnel(tunnel->proxy, &tunnel->note, tunnel->up.bytes + tunnel->down.bytes);
    loop_bury(tunnel->proxy->loop, &tunnel->grave, dig);
}

static void end(struct tunnel *tunnel, bool reset)
{
    if (tunnel->session)
        session_close(tunnel->session, reset);
}

void tunnel_let_go(struct tunnel *tunnel, bool reset)
{
    tunnel->session = NULL;
    outgoing_close(tunnel->outgoing, reset);
    bury(tunnel);
}

/* What an upgrade leads to has frames of its own: who leaves without TLS's farewell has ended. */
static bool ends_bare(const struct stream *stream)
{
    return stream_tls_ssl(stream) && stream_tls_ending(stream, NULL) == STREAM_TLS_CLOSED;
}

/* Moves what can be moved; false when an end broke off. */
static bool move(struct tunnel *tunnel, struct direction *d)
{
    char *scratch = tunnel->proxy->loop->scratch;

    if (!outbox_is_empty(d->outbox)) {
        if (!outbox_flush(d->outbox))
            return false;
        if (!outbox_is_empty(d->outbox))
            return true;
    }
    for (int turn = 0; turn < TURNS && !d->has_ended; turn++) {
        size_t got = 0;

        if (d->splices) {
            uint64_t taken, put;
            enum flow_outcome outcome =
                flow_splice(tunnel->proxy, &d->flow, d->from, d->to, UINT64_MAX, &taken, &put);
            d->bytes += taken;
            if (outcome == FLOW_FROM_LOST || outcome == FLOW_TO_LOST)
                return false;
            if (outcome == FLOW_ENDED)
                d->has_ended = true;
            if (outcome == FLOW_NO_PIPE) {
                d->splices = false;
                continue;
            }
            return true;
        }
        switch (stream_read(d->from, scratch, LOOP_SCRATCH_BYTES, &got)) {
        case STREAM_OK:
            d->bytes += got;
            outbox_put(d->outbox, span_of(scratch, got));
            if (!outbox_flush(d->outbox))
                return false;
            d->splices = d->bytes >= SPLICE_FROM_BYTES && got >= LOOP_SCRATCH_BYTES / 4 &&
                         outbox_is_empty(d->outbox) && flow_can_splice(d->from, d->to);
            if (got < LOOP_SCRATCH_BYTES || !outbox_is_empty(d->outbox))
                return true;
            break;
        case STREAM_WAIT:
            return true;
        case STREAM_END:
            d->has_ended = true;
            break;
        case STREAM_LOST:
            if (!ends_bare(d->from))
                return false;
            d->has_ended = true;
            break;
        }
    }
    return true;
}

static bool is_blocked(const struct direction *d)
{
    return !outbox_is_empty(d->outbox) || d->flow.in_pipe > 0;
}

/* An origin that neither says anything nor closes would keep the tunnel of a browser that has gone
 * until tunnel_idle_timeout. Its kernel may answer for it, as Linux does for a minute; but who
 * ended TLS wants no more answers than are on their way. */
static void on_presence(void *owner)
{
    struct tunnel *tunnel = owner;
    bool is_quiet = tunnel->down.bytes == tunnel->seen_bytes && !is_blocked(&tunnel->down);

    tunnel->seen_bytes = tunnel->down.bytes;
    tunnel->quiet_looks = is_quiet ? tunnel->quiet_looks + 1 : 0;
    if (presence_is_lost(tunnel->session->stream.fd) ||
        (tunnel->is_tls && tunnel->quiet_looks >= TLS_QUIET_LOOKS))
        end(tunnel, true);
    else
        loop_timer_set(&tunnel->presence, PRESENCE_LOOK_MS);
}

static void watch_presence(struct tunnel *tunnel)
{
    if (loop_timer_is_set(&tunnel->presence))
        return;
    presence_ask(tunnel->session->stream.fd);
    loop_timer_set(&tunnel->presence, PRESENCE_LOOK_MS);
}

static void bound_backlog(const struct tunnel *tunnel, struct direction *d)
{
    uint64_t now_ms = loop_now_ms(tunnel->proxy->loop);

    if (!is_blocked(d))
        backlog_go_on(&d->backlog, d->from->fd, now_ms);
    else if (d->from->wanted & STREAM_READ)
        backlog_stop(&d->backlog, d->from->fd, now_ms);
}

static void settle(struct tunnel *tunnel)
{
    struct direction *both[] = { &tunnel->up, &tunnel->down };
    uint64_t bytes = tunnel->up.bytes + tunnel->down.bytes;

    for (int i = 0; i < 2; i++) {
        struct direction *d = both[i];
        if (d->has_ended && !d->is_shut && !is_blocked(d)) {
            stream_shutdown(d->to);
            d->is_shut = true;
        }
        bound_backlog(tunnel, d);
    }
    if (tunnel->up.is_shut && tunnel->down.is_shut) {
        end(tunnel, false);
        return;
    }
    if (tunnel->up.has_ended)
        watch_presence(tunnel);
    if (bytes != tunnel->last_bytes) {
        tunnel->last_bytes = bytes;
        loop_timer_set(&tunnel->outgoing->timer, tunnel->idle_ms);
    }
    stream_want(&tunnel->session->stream,
                (!tunnel->up.has_ended && !is_blocked(&tunnel->up) ? STREAM_READ : 0) |
                    (is_blocked(&tunnel->down) ? STREAM_WRITE : 0));
    stream_want(&tunnel->outgoing->stream,
                (!tunnel->down.has_ended && !is_blocked(&tunnel->down) ? STREAM_READ : 0) |
                    (is_blocked(&tunnel->up) ? STREAM_WRITE : 0));
}

static void go_on(struct tunnel *tunnel, struct direction *d)
{
    if (!move(tunnel, d)) {
        end(tunnel, true);
        return;
    }
    settle(tunnel);
}

/* ---- is it HTTP? ---- */

/* "METHOD /target HTTP/1.x CRLF": a method of capital letters, at most 20 of them. */
enum tunnel_first tunnel_sniff(struct span bytes)
{
    size_t at = 0, end;
    struct span line;

    if (hello_classify(bytes) == HELLO_KIND_TLS)
        return FIRST_TLS;
    while (at < bytes.size && at <= 20 && bytes.at[at] >= 'A' && bytes.at[at] <= 'Z')
        at++;
    if (at == bytes.size)
        return at <= 20 ? FIRST_MORE : FIRST_OTHER;
    if (at == 0 || bytes.at[at] != ' ')
        return FIRST_OTHER;
    if (at + 1 == bytes.size)
        return FIRST_MORE;
    if (bytes.at[at + 1] != '/' && bytes.at[at + 1] != '*' && bytes.at[at + 1] != 'h')
        return FIRST_OTHER;
    end = span_find_byte(bytes, '\n');
    if (end == bytes.size)
        return bytes.size < TUNNEL_SNIFF_BYTES ? FIRST_MORE : FIRST_OTHER;
    line = span_slice(bytes, 0, end);
    if (line.size && line.at[line.size - 1] == '\r')
        line.size--;
    return line.size > 9 && span_equal(span_slice(line, line.size - 9, 8), SPAN(" HTTP/1."))
               ? FIRST_HTTP
               : FIRST_OTHER;
}

static void become_http(struct tunnel *tunnel)
{
    struct session *session = tunnel->session;
    struct outgoing *outgoing = tunnel->outgoing;

    scope_free(&session->scope);
    session->scope = tunnel->scope;
    tunnel->scope = NULL;
    tunnel->session = NULL;
    // Its first request takes this connection from the pool, unless a parent made it a tunnel.
    if (outgoing->origin->parent && outgoing->origin->parent->kind == PARENT_HTTP)
        outgoing_close(outgoing, false);
    else
        outgoing_release(outgoing);
    bury(tunnel);
    session_end_tunnel(session);
}

static void stop_sniffing(struct tunnel *tunnel)
{
    struct buffer *early = &tunnel->session->early;

    tunnel->sniffs = false;
    forget_hello(tunnel);
    if (early->size) {
        tunnel->is_tls = early->at[0] == TLS_HANDSHAKE;
        tunnel->up.bytes += early->size;
        outbox_put(tunnel->up.outbox, buffer_span(early));
        outbox_flush(tunnel->up.outbox);
        buffer_release(early);
    }
}

/* CONNECT was asked of the rules; so is another name in the hello. */
static bool name_is_stopped(const struct tunnel *tunnel)
{
    struct target target = { .host = span_text(tunnel->hello->hello.server_name) };
    struct case_file file = { .settings = tunnel->outgoing->origin->settings,
                              .target = &target,
                              .client = &tunnel->session->peer,
                              .user = tunnel->scope->user };
    struct judgement judgement;

    if (target.host.size == 0 || span_equal(target.host, tunnel->scope->host))
        return false;
    judge_connect(tunnel->proxy->judge, &file, &judgement);
    if (judgement.is_stopped)
        log_info("host=%.*s sni=%.*s is stopped", SPAN_PRINT(tunnel->scope->host),
                 SPAN_PRINT(target.host));
    return judgement.is_stopped;
}

/* False when the tunnel is no more. */
static bool look_at_hello(struct tunnel *tunnel)
{
    struct span more = buffer_span(&tunnel->session->early);
    enum hello_progress progress;
    struct error error;

    if (!tunnel->hello) {
        tunnel->hello = calloc(1, sizeof *tunnel->hello);
        if (!tunnel->hello)
            abort(); // out of memory ends the worker; the master starts another
        hello_collector_init(tunnel->hello);
    }
    more = span_from(more, tunnel->hello->kept.size);
    if (more.size > hello_room(tunnel->hello))
        more.size = hello_room(tunnel->hello);
    progress = hello_feed(tunnel->hello, more, &error);
    if (progress == HELLO_MORE)
        return true;
    if (progress == HELLO_WHOLE && name_is_stopped(tunnel)) {
        end(tunnel, false);
        return false;
    }
    stop_sniffing(tunnel);
    return true;
}

/* False when the tunnel is one no more. */
static bool look_at_first_bytes(struct tunnel *tunnel)
{
    switch (tunnel_sniff(buffer_span(&tunnel->session->early))) {
    case FIRST_HTTP:
        become_http(tunnel);
        return false;
    case FIRST_TLS:
        return look_at_hello(tunnel);
    case FIRST_OTHER:
        stop_sniffing(tunnel);
        break;
    case FIRST_MORE:
        break;
    }
    return true;
}

static void read_first_bytes(struct tunnel *tunnel)
{
    struct session *session = tunnel->session;
    char *scratch = tunnel->proxy->loop->scratch;
    size_t got = 0;

    switch (stream_read(&session->stream, scratch, LOOP_SCRATCH_BYTES, &got)) {
    case STREAM_OK:
        session->early.limit_bytes = TUNNEL_SNIFF_BYTES + LOOP_SCRATCH_BYTES;
        if (!buffer_append(&session->early, span_of(scratch, got)))
            stop_sniffing(tunnel);
        else if (!look_at_first_bytes(tunnel))
            return;
        break;
    case STREAM_WAIT:
        break;
    case STREAM_END:
        stop_sniffing(tunnel);
        tunnel->up.has_ended = true;
        break;
    case STREAM_LOST:
        end(tunnel, true);
        return;
    }
    settle(tunnel);
}

/* ---- events ---- */

static void on_browser_readable(void *owner)
{
    struct tunnel *tunnel = owner;

    if (tunnel->sniffs)
        read_first_bytes(tunnel);
    else
        go_on(tunnel, &tunnel->up);
}

static void on_browser_writable(void *owner)
{
    struct tunnel *tunnel = owner;
    go_on(tunnel, &tunnel->down);
}

static void on_origin_readable(void *owner)
{
    struct tunnel *tunnel = owner;

    if (tunnel->sniffs)
        stop_sniffing(tunnel); // the origin speaks first: not HTTP
    go_on(tunnel, &tunnel->down);
}

static void on_origin_writable(void *owner)
{
    struct tunnel *tunnel = owner;
    go_on(tunnel, &tunnel->up);
}

static void on_timeout(void *owner)
{
    struct tunnel *tunnel = owner;

    count(tunnel->proxy, METRIC_TIMEOUTS);
    end(tunnel, false);
}

static const struct stream_events browser_events = { on_browser_readable, on_browser_writable };
static const struct outgoing_events origin_events = { on_origin_readable, on_origin_writable,
                                                      on_timeout };

void tunnel_start(struct session *session, struct outgoing *outgoing, struct span first,
                  struct scope **scope, uint64_t idle_ms)
{
    struct proxy *proxy = session->proxy;
    struct tunnel *tunnel = calloc(1, sizeof *tunnel);

    if (!tunnel)
        abort(); // out of memory ends the worker; the master starts another
    tunnel->proxy = proxy;
    tunnel->session = session;
    tunnel->outgoing = outgoing;
    tunnel->note = session->note;
    session->note = NULL;
    tunnel->idle_ms = idle_ms;
    tunnel->scope = *scope;
    *scope = NULL;
    tunnel->sniffs = tunnel->scope != NULL;
    tunnel->up = (struct direction){ .from = &session->stream,
                                     .to = &outgoing->stream,
                                     .outbox = &outgoing->outbox };
    tunnel->down = (struct direction){ .from = &outgoing->stream,
                                       .to = &session->stream,
                                       .outbox = &session->outbox };
    session->tunnel = tunnel;
    session->stream.events = &browser_events;
    session->stream.owner = tunnel;
    outgoing->events = &origin_events;
    outgoing->owner = tunnel;
    proxy->tunnels++;
    loop_timer_set(&outgoing->timer, idle_ms);
    loop_timer_init(&tunnel->presence, proxy->loop, on_presence, tunnel);

    if (first.size) {
        tunnel->sniffs = false;
        tunnel->down.bytes += first.size;
        outbox_put(&session->outbox, first);
        outbox_flush(&session->outbox);
        buffer_release(&outgoing->early);
    }
    if (tunnel->sniffs && session->early.size && !look_at_first_bytes(tunnel))
        return;
    if (!tunnel->sniffs || session->peer_finished)
        stop_sniffing(tunnel);
    if (session->peer_finished)
        tunnel->up.has_ended = true;
    if (session->outbox.is_broken || outgoing->outbox.is_broken) {
        end(tunnel, true);
        return;
    }
    settle(tunnel);
}
