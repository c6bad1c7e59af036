#include "proxy/outgoing.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "io/stream_tls.h"
#include "proxy/parent.h"

struct opening {
    struct connector connector;
    struct parent_talk talk;
    uint64_t deadline_ms;
    bool is_tunnel;
    bool has_talk;
    struct hello *like; // our own; NULL: none
    bool no_protocol;
    struct address only_at; // no family: anywhere
};

/* ---- origins ---- */

static bool has_key(const struct table_node *node, const void *key)
{
    return span_equal(((const struct origin *)node)->key, *(const struct span *)key);
}

static struct origin *origin_for(struct proxy *proxy, const struct outgoing_target *target)
{
    const struct outgoing_tls *tls = target->tls;
    char text[1024];
    struct span key, name = tls ? tls->name : SPAN_NONE;
    struct origin *origin;
    uint64_t hash;
    int size;

    size = snprintf(text, sizeof text, "%s %.*s%s %u parent=%.*s policy=%llu",
                    target->is_local ? "local"
                    : tls            ? "https"
                                     : "http",
                    SPAN_PRINT(target->to.host), target->to.is_rooted ? "." : "", target->to.port,
                    target->parent ? (int)target->parent->name.size : 0,
                    target->parent ? target->parent->name.at : "",
                    (unsigned long long)target->settings->number);
    assert(size > 0);
    if (tls && (size_t)size < sizeof text)
        size += snprintf(text + size, sizeof text - (size_t)size, " name=%.*s trust=%llx",
                         SPAN_PRINT(name), (unsigned long long)verify_roots_mark(tls->roots));
    if ((size_t)size >= sizeof text)
        size = sizeof text - 1; // names are at most 253 bytes, a parent's name is checked
    key = span_of(text, (size_t)size);
    hash = table_hash(&proxy->origins, key);
    origin = (struct origin *)table_find(&proxy->origins, hash, has_key, &key);
    if (origin)
        return origin;

    origin = calloc(1, sizeof *origin + key.size + target->to.host.size + 1 + name.size);
    if (!origin)
        abort(); // out of memory ends the worker; the master starts another
    memcpy(origin->text, key.at, key.size);
    memcpy(origin->text + key.size, target->to.host.at, target->to.host.size);
    origin->text[key.size + target->to.host.size] = '.'; // of no use but to a rooted name
    origin->key = span_of(origin->text, key.size);
    origin->to = target->to;
    origin->to.host = span_of(origin->text + key.size, target->to.host.size);
    origin->parent = target->parent;
    origin->settings = target->settings;
    settings_ref(origin->settings);
    origin->is_local = target->is_local;
    if (tls) {
        origin->is_secure = true;
        origin->name = span_of(origin->to.host.at + origin->to.host.size + 1, name.size);
        memcpy((char *)origin->name.at, name.at, name.size);
        origin->roots = verify_roots_ref(tls->roots);
    }
    origin->last_waiting = &origin->first_waiting;
    gate_init(&origin->gate, proxy->loop, target->settings->config->connections_per_origin);
    table_add(&proxy->origins, &origin->node, hash);
    return origin;
}

/* As it is resolved: a rooted name with its dot. */
static struct span host_to_reach(const struct origin *origin)
{
    return span_of(origin->to.host.at, origin->to.host.size + origin->to.is_rooted);
}

static void origin_leave(struct proxy *proxy, struct origin *origin)
{
    if (--origin->users)
        return;
    table_remove(&proxy->origins, &origin->node);
    gate_done(&origin->gate);
    settings_unref(&origin->settings);
    verify_roots_unref(&origin->roots);
    free(origin);
}

/* ---- idle lists: each origin's own, newest used first; the proxy's, oldest closed first ---- */

static void idle_add(struct outgoing *o)
{
    struct outgoing_list *own = &o->origin->idle, *all = &o->proxy->idle_outgoing;

    o->previous = own->last;
    o->next = NULL;
    if (own->last)
        own->last->next = o;
    else
        own->first = o;
    own->last = o;
    own->count++;

    o->older = all->last;
    o->newer = NULL;
    if (all->last)
        all->last->newer = o;
    else
        all->first = o;
    all->last = o;
    all->count++;
    metrics_add(o->proxy->metrics, METRIC_OUTGOING_IDLE, 1);
}

static void idle_remove(struct outgoing *o)
{
    struct outgoing_list *own = &o->origin->idle, *all = &o->proxy->idle_outgoing;

    if (o->previous)
        o->previous->next = o->next;
    else
        own->first = o->next;
    if (o->next)
        o->next->previous = o->previous;
    else
        own->last = o->previous;
    own->count--;

    if (o->older)
        o->older->newer = o->newer;
    else
        all->first = o->newer;
    if (o->newer)
        o->newer->older = o->older;
    else
        all->last = o->older;
    all->count--;
    metrics_subtract(o->proxy->metrics, METRIC_OUTGOING_IDLE, 1);
}

/* ---- the line of claims at an origin ---- */

static void line_add(struct origin *origin, struct claim *claim)
{
    claim->next = NULL;
    claim->link = origin->last_waiting;
    *origin->last_waiting = claim;
    origin->last_waiting = &claim->next;
}

static void line_remove(struct origin *origin, struct claim *claim)
{
    if (!claim->link)
        return;
    *claim->link = claim->next;
    if (claim->next)
        claim->next->link = claim->link;
    else
        origin->last_waiting = claim->link;
    claim->link = NULL;
    claim->next = NULL;
}

/* ---- ends ---- */

static void opening_free(struct outgoing *o)
{
    if (!o->opening)
        return;
    connector_cancel(&o->opening->connector);
    if (o->opening->has_talk)
        parent_talk_done(&o->opening->talk);
    free(o->opening->like);
    free(o->opening);
    o->opening = NULL;
}

static void dig(struct loop_grave *grave)
{
    struct outgoing *o = (struct outgoing *)((char *)grave - offsetof(struct outgoing, grave));

    http1_free(&o->parser);
    if (o->answer)
        resolve_answer_unref(o->answer);
    free(o);
}

static void end(struct outgoing *o, bool reset)
{
    struct proxy *proxy = o->proxy;

    if (o->state == OUTGOING_CLOSED)
        return;
    if (o->state == OUTGOING_IDLE)
        idle_remove(o);
    if (o->claim) {
        line_remove(o->origin, o->claim);
        loop_later_cancel(proxy->loop, &o->claim->granted);
        o->claim->outgoing = NULL;
        o->claim = NULL;
    }
    o->state = OUTGOING_CLOSED;
    opening_free(o);
    loop_timer_stop(&o->timer);
    outbox_done(&o->outbox);
    buffer_release(&o->early);
    if (stream_is_open(&o->stream)) {
        metrics_subtract(proxy->metrics, METRIC_OUTGOING_OPEN, 1);
        if (reset)
            stream_reset(&o->stream);
        else
            stream_close(&o->stream);
    }
    gate_leave(&o->origin_ticket);
    gate_leave(&o->total_ticket);
    origin_leave(proxy, o->origin);
    o->origin = NULL;
    loop_bury(proxy->loop, &o->grave, dig);
}

static void fail(struct outgoing *o, const struct error *error)
{
    struct claim *claim = o->claim;
    struct error why = *error; // it may live in what ends now

    count(o->proxy, METRIC_CONNECT_FAILURES);
    end(o, false);
    if (claim)
        claim->on_failed(claim->owner, &why);
}

void outgoing_close(struct outgoing *o, bool reset)
{
    end(o, reset);
}

/* ---- events ---- */

static void talk_on(struct outgoing *o);

static void on_readable(void *owner)
{
    struct outgoing *o = owner;

    switch (o->state) {
    case OUTGOING_HELD:
        o->events->on_readable(o->owner);
        break;
    case OUTGOING_TALKING:
        talk_on(o);
        break;
    default: // idle: it ended, or sent what nobody asked for
        if (!outgoing_is_quiet(o))
            end(o, false);
        break;
    }
}

bool outgoing_is_quiet(struct outgoing *o)
{
    size_t got = 0;
    char byte;

    return stream_read(&o->stream, &byte, 1, &got) == STREAM_WAIT;
}

static void on_writable(void *owner)
{
    struct outgoing *o = owner;

    if (o->state == OUTGOING_HELD)
        o->events->on_writable(o->owner);
    else if (o->state == OUTGOING_TALKING)
        talk_on(o);
}

static const struct stream_events stream_events = { on_readable, on_writable };

static void on_timer(void *owner)
{
    struct outgoing *o = owner;
    struct error error;

    switch (o->state) {
    case OUTGOING_HELD:
        o->events->on_timeout(o->owner);
        break;
    case OUTGOING_IDLE:
        end(o, false);
        break;
    case OUTGOING_IN_LINE:
        count(o->proxy, METRIC_TIMEOUTS);
        error_set(&error, ERROR_SYSTEM,
                  "all %zu connections to %.*s stayed busy (connections_per_origin, "
                  "connections_total)",
                  (size_t)o->origin->settings->config->connections_per_origin,
                  SPAN_PRINT(o->origin->to.host));
        fail(o, &error);
        break;
    default:
        count(o->proxy, METRIC_TIMEOUTS);
        error_set(&error, ERROR_TIMEOUT, "%.*s did not answer in time",
                  SPAN_PRINT(o->origin->to.host));
        fail(o, &error);
        break;
    }
}

/* ---- opening: gates, connector, parent ---- */

static void ready(struct outgoing *o)
{
    struct claim *claim = o->claim;

    opening_free(o);
    loop_timer_stop(&o->timer);
    o->claim = NULL;
    claim->outgoing = NULL;
    o->state = OUTGOING_HELD;
    o->is_fresh = true;
    claim->on_ready(claim->owner, o);
}

static void talk_failed(struct outgoing *o, enum error_kind kind)
{
    struct error error;

    error_set(&error, kind, "parent %.*s went away", SPAN_PRINT(o->origin->parent->name));
    fail(o, &error);
}

static void fail_handshake(struct outgoing *o, enum outgoing_failure failure,
                           const struct error *error)
{
    o->claim->failure = failure;
    o->claim->tried = o->address;
    fail(o, error);
}

/* Why the handshake did not end, in the kind that its holder tells the cases apart by. */
static void handshake_broke(struct outgoing *o, const struct stream_tls_failure *how)
{
    struct error error;
    bool is_lost = how->ending == STREAM_TLS_CLOSED || how->ending == STREAM_TLS_LOST;

    error_set(&error, is_lost ? ERROR_LOST : ERROR_UNSUPPORTED, "no TLS with %.*s: %s",
              SPAN_PRINT(o->origin->name), how->error.text);
    fail_handshake(o, is_lost ? OUTGOING_UNREACHED : OUTGOING_DISAGREED, &error);
}

static void on_shaken(void *owner, const struct stream_tls_failure *how)
{
    struct outgoing *o = owner;
    SSL *ssl = stream_tls_ssl(&o->stream);
    struct error error, why;
    char chain[300];

    switch (origin_judge(ssl, NULL, &why)) {
    case ORIGIN_GOOD:
        ready(o);
        break;
    case ORIGIN_BAD_CERTIFICATE:
        error_set(&error, ERROR_TLS, "%s; chain: %s", why.text,
                  origin_chain_text(chain, sizeof chain, ssl));
        fail_handshake(o, OUTGOING_BAD_CERTIFICATE, &error);
        break;
    case ORIGIN_WANTS_CERTIFICATE:
        error_set(&error, ERROR_FORBIDDEN, "%s", why.text);
        fail_handshake(o, OUTGOING_WANTS_CERTIFICATE, &error);
        break;
    case ORIGIN_FAILED:
        handshake_broke(o, how);
        break;
    }
}

/* What was read behind a parent's answer belongs to the handshake. */
static void shake_hands(struct outgoing *o)
{
    const struct origin *origin = o->origin;
    struct origin_question question = {
        .host = origin->name,
        .port = origin->to.port,
        .protocols = o->opening->no_protocol ? SPAN_NONE : SPAN("\x08http/1.1"),
        .roots = origin->roots,
        .now = time(NULL),
        .like = o->opening->like,
    };
    struct error error;
    SSL *ssl;

    if (origin_begin(&ssl, o->proxy->origin_tls, &question, &error)) {
        error.kind = ERROR_UNSUPPORTED;
        fail_handshake(o, OUTGOING_DISAGREED, &error);
        return;
    }
    o->state = OUTGOING_SHAKING;
    loop_timer_set(&o->timer, OUTGOING_HANDSHAKE_MS);
    stream_init_tls(&o->stream, &o->stream, &ssl, buffer_span(&o->early), &stream_events, o);
    buffer_release(&o->early);
    stream_tls_shake_hands(&o->stream, on_shaken);
}

/* The way to the origin is open. */
static void arrive(struct outgoing *o)
{
    if (o->origin->is_secure && !o->opening->is_tunnel)
        shake_hands(o);
    else
        ready(o);
}

/* Sends what the talk has to say, reads what the parent answers. */
static void talk_on(struct outgoing *o)
{
    struct parent_talk *talk = &o->opening->talk;
    struct error error;
    size_t got = 0;

    switch (stream_read(&o->stream, o->proxy->loop->scratch, LOOP_SCRATCH_BYTES, &got)) {
    case STREAM_OK:
        if (parent_talk_feed(talk, span_of(o->proxy->loop->scratch, got), &error)) {
            fail(o, &error);
            return;
        }
        break;
    case STREAM_WAIT:
        break;
    case STREAM_END:
    case STREAM_LOST:
        talk_failed(o, ERROR_LOST);
        return;
    }
    if (talk->out.size) {
        outbox_put(&o->outbox, buffer_span(&talk->out));
        outbox_flush(&o->outbox);
        talk->out.size = 0;
    } else if (!outbox_is_empty(&o->outbox)) {
        outbox_flush(&o->outbox);
    }
    if (o->outbox.is_broken) {
        talk_failed(o, ERROR_LOST);
        return;
    }
    if (talk->step == PARENT_DONE) {
        o->early.limit_bytes = PARENT_ANSWER_BYTES;
        buffer_append(&o->early, buffer_span(&talk->answer));
        arrive(o);
        return;
    }
    stream_want(&o->stream, STREAM_READ | (outbox_is_empty(&o->outbox) ? 0 : STREAM_WRITE));
}

static void take_socket(struct outgoing *o, int fd)
{
    const struct parent *parent = o->origin->parent;
    uint64_t now = loop_now_ms(o->proxy->loop);

    stream_init_tcp(&o->stream, o->proxy->loop, fd, &stream_events, o);
    outbox_init(&o->outbox, &o->proxy->stage, &o->stream);
    count(o->proxy, METRIC_OUTGOING_OPENED);
    metrics_add(o->proxy->metrics, METRIC_OUTGOING_OPEN, 1);
    if (parent &&
        (parent->kind == PARENT_SOCKS5 || o->opening->is_tunnel || o->origin->is_secure)) {
        uint64_t left = o->opening->deadline_ms > now ? o->opening->deadline_ms - now : 1;
        o->state = OUTGOING_TALKING;
        loop_timer_set(&o->timer, left);
        parent_talk_init(&o->opening->talk, parent, host_to_reach(o->origin), o->origin->to.port);
        o->opening->has_talk = true;
        talk_on(o);
        return;
    }
    arrive(o);
}

/* A listener bound to every address is at all of this machine's, which nobody lists for us. But a
 * connection to oneself has the same address at both ends. */
static bool leads_to_ourselves(const struct outgoing *o, int fd)
{
    const struct proxy *proxy = o->proxy;
    struct address far = address_unwrap(&o->address), near = { 0 };
    socklen_t size = sizeof near;

    for (size_t i = 0; i < proxy->own_count; i++) {
        if (address_classify(&proxy->own[i]) != ADDRESS_UNSPECIFIED ||
            address_port(&proxy->own[i]) != address_port(&far))
            continue;
        if (getsockname(fd, &near.any, &size) < 0)
            return false;
        near = address_unwrap(&near);
        address_set_port(&near, address_port(&far));
        return address_equal(&near, &far);
    }
    return false;
}

static void on_connected(void *owner, int fd, const struct address *address,
                         const struct error *error)
{
    struct outgoing *o = owner;

    if (fd < 0) {
        fail(o, error);
        return;
    }
    if (address)
        o->address = *address;
    if (!o->origin->parent && address && leads_to_ourselves(o, fd)) {
        struct error why;
        char text[ADDRESS_TEXT_BYTES];
        close(fd);
        error_set(&why, ERROR_FORBIDDEN, "%s is this proxy itself",
                  address_text_with_port(address, text));
        fail(o, &why);
        return;
    }
    take_socket(o, fd);
}

static bool may_connect(void *owner, const struct address *address,
                        const struct resolve_answer *answer, struct error *error)
{
    struct outgoing *o = owner;
    const struct origin *origin = o->origin;
    struct claim *claim = o->claim;

    if (origin->parent) // the administrator named it; the destination is the parent's business
        return true;
    if (destination_check_address(origin->settings, &origin->to, address, o->proxy->own,
                                  o->proxy->own_count, error))
        return false;
    if (claim->may_use && !claim->may_use(claim->owner, address, answer, error))
        return false;
    if (answer && !o->answer) {
        resolve_answer_ref((struct resolve_answer *)answer);
        o->answer = (struct resolve_answer *)answer; // the count is all that changes of it
    }
    return true;
}

static void connect_now(struct outgoing *o)
{
    const struct origin *origin = o->origin;
    struct proxy *proxy = o->proxy;
    uint64_t timeout_ms = origin->settings->config->connect_timeout_ms;
    struct connector *connector = &o->opening->connector;
    struct span host = origin->parent ? origin->parent->host : host_to_reach(origin);
    uint16_t port = origin->parent ? origin->parent->port : origin->to.port;
    char literal[ADDRESS_TEXT_BYTES];

    line_remove(o->origin, o->claim);
    o->state = OUTGOING_CONNECTING;
    o->opening->deadline_ms = loop_now_ms(proxy->loop) + timeout_ms;
    if (origin->is_local) {
        int fd = proxy->seams.connect_local ? proxy->seams.connect_local(proxy->seams.owner) : -1;
        if (fd < 0) {
            struct error error;
            error_set(&error, ERROR_SYSTEM, "the process behind this name does not answer");
            fail(o, &error);
        } else {
            take_socket(o, fd);
        }
        return;
    }
    loop_timer_stop(&o->timer);
    connector->may_connect = may_connect;
    connector->on_connected = on_connected;
    connector->owner = o;
    if (!origin->parent && o->opening->only_at.any.sa_family)
        host = span_text(address_text(&o->opening->only_at, literal));
    connector_start(connector, proxy->loop, proxy->resolver, host, port, timeout_ms);
}

/* Our own pages tell how things are, also when all places are taken. */
static bool enter_total(struct outgoing *o)
{
    return o->origin->is_local || gate_enter(&o->proxy->total_gate, &o->total_ticket);
}

static void on_total_place(void *owner)
{
    connect_now(owner);
}

/* Closes the idle connection that holds one of all places the longest; our own pages' hold none. */
static void spare_place(struct proxy *proxy)
{
    struct outgoing *o = proxy->idle_outgoing.first;

    while (o && !o->total_ticket.gate)
        o = o->newer;
    if (o)
        end(o, false);
}

/* From the loop, for a claim that waited. */
static void on_origin_place(void *owner)
{
    struct outgoing *o = owner;

    if (enter_total(o)) {
        connect_now(o);
        return;
    }
    spare_place(o->proxy);
}

static void start_later(void *owner)
{
    struct claim *claim = owner;
    struct outgoing *o = claim->outgoing;

    if (o->state == OUTGOING_HELD) { // handed over by its last holder
        claim->outgoing = NULL;
        claim->on_ready(claim->owner, o);
        return;
    }
    connect_now(o);
}

static struct outgoing *outgoing_new(struct proxy *proxy, struct origin *origin)
{
    struct outgoing *o = calloc(1, sizeof *o);

    if (!o)
        abort(); // out of memory ends the worker; the master starts another
    o->proxy = proxy;
    o->origin = origin;
    origin->users++;
    loop_timer_init(&o->timer, proxy->loop, on_timer, o);
    o->origin_ticket.on_granted = on_origin_place;
    o->total_ticket.on_granted = on_total_place;
    o->origin_ticket.owner = o->total_ticket.owner = o;
    return o;
}

/* Its end, or what nobody asked for, may have come since the loop last looked. */
static bool is_quiet(const struct outgoing *o)
{
    char byte;

    return recv(o->stream.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

/* The idle connection to be used next; NULL when there is none. */
static struct outgoing *find_idle(struct origin *origin, const struct outgoing_target *target)
{
    struct outgoing *o;

    while ((o = origin->idle.last) != NULL && target->is_once && !is_quiet(o))
        end(o, false);
    return o;
}

struct outgoing *outgoing_claim(struct proxy *proxy, struct claim *claim,
                                const struct outgoing_target *target)
{
    struct origin *origin = origin_for(proxy, target);
    struct outgoing *o;

    claim->failure = OUTGOING_UNREACHED;
    claim->tried = (struct address){ 0 };
    claim->takes_idle = !target->is_tunnel && !target->fresh_only;
    claim->granted.owner = claim;
    claim->granted.run = start_later;
    origin->users++; // stays, though its last connection may end here
    o = claim->takes_idle && !origin->first_waiting ? find_idle(origin, target) : NULL;
    origin->users--;
    if (o) {
        idle_remove(o);
        loop_timer_stop(&o->timer);
        o->state = OUTGOING_HELD;
        o->is_fresh = false;
        count(proxy, METRIC_OUTGOING_REUSED);
        return o;
    }
    o = outgoing_new(proxy, origin);
    o->opening = calloc(1, sizeof *o->opening);
    if (!o->opening)
        abort(); // out of memory ends the worker; the master starts another
    o->opening->is_tunnel = target->is_tunnel;
    if (target->tls && target->tls->like)
        o->opening->like = hello_copy(target->tls->like);
    o->opening->no_protocol = target->tls && target->tls->no_protocol;
    if (target->only_at)
        o->opening->only_at = *target->only_at;
    o->claim = claim;
    o->state = OUTGOING_IN_LINE;
    claim->outgoing = o;
    line_add(origin, claim);
    loop_timer_set(&o->timer, target->settings->config->response_header_timeout_ms);
    if (!gate_enter(&origin->gate, &o->origin_ticket)) {
        // An idle connection that this claim does not take holds a place: it goes.
        if (origin->idle.first)
            end(origin->idle.first, false);
        count(proxy, METRIC_GATE_WAITS);
        return NULL;
    }
    if (!enter_total(o)) {
        count(proxy, METRIC_GATE_WAITS);
        spare_place(proxy);
        return NULL;
    }
    line_remove(origin, claim);
    loop_later(proxy->loop, &claim->granted);
    return NULL;
}

void outgoing_cancel(struct claim *claim)
{
    struct outgoing *o = claim->outgoing;

    if (!o)
        return;
    loop_later_cancel(o->proxy->loop, &claim->granted);
    if (o->state == OUTGOING_HELD) { // handed over, not yet told
        claim->outgoing = NULL;
        outgoing_release(o);
        return;
    }
    end(o, false);
}

/* ---- back from the holder ---- */

void outgoing_release(struct outgoing *o)
{
    struct proxy *proxy = o->proxy;
    const struct config *config = o->origin->settings->config;
    struct claim *waiting;

    if (o->is_tainted || o->outbox.is_broken || !outbox_is_empty(&o->outbox) ||
        proxy->is_draining || o->origin->settings != proxy->settings) {
        end(o, false);
        return;
    }
    o->is_fresh = false;
    waiting = o->origin->first_waiting;
    if (waiting && !waiting->takes_idle) { // its turn: what it needs is the place
        end(o, false);
        return;
    }
    if (waiting) {
        struct outgoing *unopened = waiting->outgoing;
        unopened->claim = NULL;
        line_remove(o->origin, waiting);
        end(unopened, false);
        waiting->outgoing = o;
        o->events = NULL;
        o->owner = NULL;
        stream_want(&o->stream, 0); // nobody listens until the claim is told, from the loop
        loop_timer_stop(&o->timer);
        count(proxy, METRIC_OUTGOING_REUSED);
        loop_later(proxy->loop, &waiting->granted);
        return;
    }
    o->state = OUTGOING_IDLE;
    idle_add(o);
    stream_want(&o->stream, STREAM_READ);
    loop_timer_set(&o->timer, config->pool_idle_timeout_ms);
    if (o->origin->idle.count > config->idle_per_origin)
        end(o->origin->idle.first, false);
    else if (proxy->idle_outgoing.count > config->idle_total)
        outgoing_spare_one(proxy);
    if (proxy->total_gate.waiting)
        spare_place(proxy);
}

bool outgoing_spare_one(struct proxy *proxy)
{
    if (!proxy->idle_outgoing.first)
        return false;
    end(proxy->idle_outgoing.first, false);
    return true;
}

void outgoing_close_idle(struct proxy *proxy)
{
    while (outgoing_spare_one(proxy))
        ;
}
