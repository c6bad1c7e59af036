#include "proxy/fetch.h"

#include <assert.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

#include "http/coding.h"
#include "io/stream_tls.h"
#include "proxy/outgoing.h"
#include "proxy/part.h"
#include "proxy/patience.h"
#include "proxy/place.h"
#include "proxy/report.h"

enum {
    HOP_BYTES = 1024 * 1024,      // request and response of one hop
    KEPT_BYTES = 4 * 1024 * 1024, // places of all hops, a validator
    FREE_FETCHES = 64,
    UPLOAD_BYTES = 64 * 1024, // put into the outbox at once
    RATE_TICK_MS = 50,
    RATE_READ_BYTES = 16 * 1024, // at once where a rate is kept, so that all get their share
    WHY_BYTES = 500,
    DECODED_BYTES = 64 * 1024, // made in one go
};

enum fetch_state {
    FETCH_IN_LINE,
    FETCH_CONNECTING,
    FETCH_TALKING, // request and response
    FETCH_RESTING, // before it is tried again
    FETCH_OVER,
};

enum purpose { FOR_OWNER, FOR_REDIRECT, FOR_RETRY }; // what the response under way is read for

struct fetch_host {
    struct table_node node; // first
    struct gate gate;
    size_t users;
    struct span name;
    char text[];
};

struct fetch {
    struct fetcher *fetcher;
    const struct fetch_events *events;
    void *owner;
    struct fetch_order order;
    struct arena kept, hop;
    struct place place, named; // now, and as the order says
    struct http1 *parser;
    struct message request, response;
    struct fetch_host *host;
    struct gate_ticket host_ticket, total_ticket;
    struct claim claim;
    struct outgoing *outgoing; // held by us
    struct loop_timer limit, rest;
    struct loop_task soon;
    enum fetch_state state;
    enum purpose purpose;

    struct span method;
    struct span body;      // that is still sent; .at NULL: none, or no longer
    size_t body_put;       // of it, into the outbox
    uint64_t position;     // in the whole body: what the owner has
    uint64_t from_byte;    // asked for by this attempt
    uint64_t part_end;     // behind the bytes that a 206 is to bring; UINT64_MAX: no such limit
    uint64_t whole_end;    // behind the last byte of the whole body; UINT64_MAX: not known
    struct span validator; // of what the owner has in part, in kept
    uint64_t body_bytes, wire_bytes, hop_bytes;
    uint64_t started_ms;
    unsigned redirects, attempts;
    unsigned status;

    bool was_started;
    bool may_be_private; // the next address: nobody but the order's author chose its host
    bool was_public;     // where the order's own host was reached before any redirect
    bool was_resent;     // because a kept connection had died
    bool got_response;   // any byte of this attempt's
    bool got_head;       // the owner was told of one
    bool head_is_in;     // of this attempt's response
    bool asked_why;      // a dejunk, what it does: only then are such words its own
    bool is_plain;
    struct decoder *decoder; // NULL: no coding is undone
    bool upload_is_void;     // the far side takes no more of it
    bool is_paused, is_throttled;
    bool response_finished;
    bool has_failed; // with `end` and `why`
    enum fetch_end end;
    char why[WHY_BYTES];

    struct fetch *next, **link; // all of the fetcher's; next: the free ones
    struct fetch *next_throttled, **throttled_link;
    struct loop_grave grave;
};

struct fetcher {
    struct proxy *proxy;
    struct loop *loop;
    struct fetch_limits limits;
    struct fetch_trust trust;
    struct verify_roots *roots; // NULL: not asked for yet
    unsigned long own_issuer;   // X509_NAME_hash of who signs for our own root; 0: not met yet
    struct coding_memory coding_memory;
    char *decoded; // DECODED_BYTES
    struct gate total;
    struct table hosts;
    struct fetch *fetches;
    struct fetch *free;
    size_t free_count;
    uint64_t wire_bytes;

    int64_t rate_left;              // bytes that may be read now
    uint64_t rate_at_ms, rate_rest; // rate_rest: thousandths of a byte
    struct fetch *throttled, **last_throttled;
    struct loop_timer rate_timer;
};

static const struct phases_events response_events;
static const struct outgoing_events outgoing_events;

static void line_up(struct fetch *f);
static void claim_connection(struct fetch *f, bool fresh_only);
static void attempt_failed(struct fetch *f, enum fetch_end end, const char *why);

const char *fetch_end_name(enum fetch_end end)
{
    static const char *const names[FETCH_ENDS] = {
        [FETCH_DONE] = "done",
        [FETCH_REFUSED] = "refused",
        [FETCH_NO_HOST] = "no such host",
        [FETCH_CERTIFICATE] = "certificate",
        [FETCH_HANDSHAKE] = "handshake failed",
        [FETCH_LOST] = "lost before headers",
        [FETCH_SHORT] = "short body",
        [FETCH_TIMED_OUT] = "timed out",
        [FETCH_TOO_MANY_REDIRECTS] = "too many redirects",
        [FETCH_UNREACHABLE] = "unreachable",
        [FETCH_REDIRECT_REFUSED] = "redirect not followed",
        [FETCH_TOO_LARGE] = "too large",
        [FETCH_BAD_ANSWER] = "bad answer",
        [FETCH_BAD_CODING] = "bad coding",
        [FETCH_BAD_URL] = "bad URL",
        [FETCH_FAILED] = "failed",
    };

    return names[end];
}

/* ---- the rate of all together ---- */

static void refill(struct fetcher *fetcher)
{
    uint64_t now = loop_now_ms(fetcher->loop), passed = now - fetcher->rate_at_ms, due;
    int64_t most =
        (int64_t)(fetcher->limits.rate_bytes_s / 10) + 1; // of a pause, nothing is saved up

    if (passed == 0)
        return;
    if (passed > 1000)
        passed = 1000;
    fetcher->rate_at_ms = now;
    due = fetcher->rate_rest + fetcher->limits.rate_bytes_s * passed;
    fetcher->rate_rest = due % 1000; // what is less than a byte is not lost
    fetcher->rate_left += (int64_t)(due / 1000);
    if (fetcher->rate_left > most)
        fetcher->rate_left = most;
}

static void throttle(struct fetch *f)
{
    struct fetcher *fetcher = f->fetcher;

    if (f->is_throttled)
        return;
    f->is_throttled = true;
    f->next_throttled = NULL;
    f->throttled_link = fetcher->last_throttled;
    *fetcher->last_throttled = f;
    fetcher->last_throttled = &f->next_throttled;
    if (!loop_timer_is_set(&fetcher->rate_timer))
        loop_timer_set(&fetcher->rate_timer, RATE_TICK_MS);
}

static void unthrottle(struct fetch *f)
{
    if (!f->is_throttled)
        return;
    f->is_throttled = false;
    *f->throttled_link = f->next_throttled;
    if (f->next_throttled)
        f->next_throttled->throttled_link = f->throttled_link;
    else
        f->fetcher->last_throttled = f->throttled_link;
}

static void update_wants(struct fetch *f)
{
    bool reads = !f->is_paused && !f->is_throttled;
    bool writes = !f->upload_is_void && !outbox_is_empty(&f->outgoing->outbox);

    stream_want(&f->outgoing->stream, (reads ? STREAM_READ : 0) | (writes ? STREAM_WRITE : 0));
}

static void on_rate_tick(void *owner)
{
    struct fetcher *fetcher = owner;

    refill(fetcher);
    if (fetcher->rate_left <= 0) {
        loop_timer_set(&fetcher->rate_timer, RATE_TICK_MS);
        return;
    }
    while (fetcher->throttled) {
        struct fetch *f = fetcher->throttled;
        unthrottle(f);
        update_wants(f);
    }
}

/* ---- life ---- */

struct fetcher *fetcher_new(struct proxy *proxy, const struct fetch_limits *limits,
                            const struct fetch_trust *trust)
{
    struct fetcher *fetcher = calloc(1, sizeof *fetcher);

    if (!fetcher)
        abort(); // out of memory ends the process
    fetcher->trust = *trust;
    // Enough for each, so that none ends for what another one's server does.
    fetcher->coding_memory.limit_bytes = limits->at_once < FETCH_CODING_MOST / FETCH_CODING_BYTES
                                             ? limits->at_once * FETCH_CODING_BYTES
                                             : FETCH_CODING_MOST;
    fetcher->proxy = proxy;
    fetcher->loop = proxy->loop;
    fetcher->limits = *limits;
    fetcher->last_throttled = &fetcher->throttled;
    fetcher->rate_at_ms = loop_now_ms(fetcher->loop);
    gate_init(&fetcher->total, fetcher->loop, limits->at_once);
    table_init(&fetcher->hosts);
    loop_timer_init(&fetcher->rate_timer, fetcher->loop, on_rate_tick, fetcher);
    return fetcher;
}

static void free_fetch(struct fetch *f)
{
    http1_free(&f->parser);
    arena_done(&f->kept);
    arena_done(&f->hop);
    free(f);
}

void fetcher_free(struct fetcher **pointer)
{
    struct fetcher *fetcher = *pointer;

    *pointer = NULL;
    if (!fetcher)
        return;
    while (fetcher->fetches) {
        struct fetch *f = fetcher->fetches;
        fetch_cancel(&f);
    }
    loop_dig(fetcher->loop);
    while (fetcher->free) {
        struct fetch *f = fetcher->free;
        fetcher->free = f->next;
        free_fetch(f);
    }
    loop_timer_stop(&fetcher->rate_timer);
    gate_done(&fetcher->total);
    table_done(&fetcher->hosts);
    verify_roots_unref(&fetcher->roots);
    free(fetcher->decoded);
    free(fetcher);
}

uint64_t fetcher_wire_bytes(const struct fetcher *fetcher)
{
    return fetcher->wire_bytes;
}

static void dig(struct loop_grave *grave)
{
    struct fetch *f = (struct fetch *)((char *)grave - offsetof(struct fetch, grave));
    struct fetcher *fetcher = f->fetcher;

    decoder_free(&f->decoder); // not before: it may have been in the middle of a piece
    if (fetcher->free_count >= FREE_FETCHES || !f->parser ||
        http1_phase(f->parser) != PHASE_FINISHED) {
        free_fetch(f);
        return;
    }
    arena_reset(&f->kept);
    arena_reset(&f->hop);
    f->next = fetcher->free;
    fetcher->free = f;
    fetcher->free_count++;
}

static void leave_host(struct fetch *f)
{
    struct fetch_host *host = f->host;

    if (!host)
        return;
    f->host = NULL;
    gate_leave(&f->host_ticket);
    if (--host->users)
        return;
    table_remove(&f->fetcher->hosts, &host->node);
    gate_done(&host->gate);
    free(host);
}

static void leave_line(struct fetch *f)
{
    loop_later_cancel(f->fetcher->loop, &f->soon);
    gate_leave(&f->total_ticket);
    leave_host(f);
}

static void close_outgoing(struct fetch *f)
{
    unthrottle(f);
    if (f->outgoing)
        outgoing_close(f->outgoing, false);
    f->outgoing = NULL;
}

/* Lets go of everything; its owner is not told. */
static void bury(struct fetch *f)
{
    f->state = FETCH_OVER;
    outgoing_cancel(&f->claim);
    close_outgoing(f);
    leave_line(f);
    loop_timer_stop(&f->limit);
    loop_timer_stop(&f->rest);
    if (f->parser && http1_phase(f->parser) != PHASE_FINISHED)
        http1_stop(f->parser);
    *f->link = f->next;
    if (f->next)
        f->next->link = f->link;
    loop_bury(f->fetcher->loop, &f->grave, dig);
}

void fetch_cancel(struct fetch **pointer)
{
    struct fetch *f = *pointer;

    *pointer = NULL;
    if (f && f->state != FETCH_OVER)
        bury(f);
}

static void done(struct fetch *f, enum fetch_end end, const char *why)
{
    char text[WHY_BYTES];
    struct fetch_result result = {
        .end = end,
        .why = text,
        .status = f->status,
        .body_bytes = f->body_bytes,
        .wire_bytes = f->wire_bytes,
        .redirects = f->redirects,
        .attempts = f->attempts,
        .duration_ms = f->was_started ? loop_now_ms(f->fetcher->loop) - f->started_ms : 0,
    };

    snprintf(text, sizeof text, "%s", why);
    bury(f);
    f->events->on_done(f->owner, &result);
}

static void on_limit(void *owner)
{
    done(owner, FETCH_TIMED_OUT, "it took longer than allowed");
}

/* ---- in line ---- */

static void begin(void *owner)
{
    struct fetch *f = owner;

    if (!f->was_started) {
        f->was_started = true;
        f->started_ms = loop_now_ms(f->fetcher->loop);
        if (f->order.max_time_ms)
            loop_timer_set(&f->limit, f->order.max_time_ms);
    }
    f->attempts++;
    f->was_resent = f->head_is_in = f->got_response = f->asked_why = false;
    f->state = FETCH_CONNECTING;
    if (f->events->on_started)
        f->events->on_started(f->owner);
    if (f->state == FETCH_CONNECTING)
        claim_connection(f, false);
}

static void on_host_place(void *owner)
{
    struct fetch *f = owner;

    if (gate_enter(&f->fetcher->total, &f->total_ticket))
        begin(f);
}

static bool has_name(const struct table_node *node, const void *key)
{
    return span_equal(((const struct fetch_host *)node)->name, *(const struct span *)key);
}

static struct fetch_host *host_for(struct fetcher *fetcher, struct span name)
{
    uint64_t hash = table_hash(&fetcher->hosts, name);
    struct fetch_host *host =
        (struct fetch_host *)table_find(&fetcher->hosts, hash, has_name, &name);

    if (!host) {
        host = calloc(1, sizeof *host + name.size);
        if (!host)
            abort(); // out of memory ends the process
        memcpy(host->text, name.at, name.size);
        host->name = span_of(host->text, name.size);
        gate_init(&host->gate, fetcher->loop, fetcher->limits.per_host);
        table_add(&fetcher->hosts, &host->node, hash);
    }
    host->users++;
    return host;
}

/* Into the host's line, then into that of all; begin() is called from the loop. */
static void line_up(struct fetch *f)
{
    struct fetcher *fetcher = f->fetcher;

    f->state = FETCH_IN_LINE;
    if (fetcher->limits.per_host) {
        f->host = host_for(fetcher, f->place.target.host);
        if (!gate_enter(&f->host->gate, &f->host_ticket))
            return;
    }
    if (gate_enter(&fetcher->total, &f->total_ticket))
        loop_later(fetcher->loop, &f->soon);
}

static void on_rested(void *owner)
{
    line_up(owner);
}

static void on_bad_url(void *owner)
{
    struct fetch *f = owner;
    done(f, FETCH_BAD_URL, f->why);
}

static struct fetch *fetch_new(struct fetcher *fetcher)
{
    struct fetch *f = fetcher->free;

    if (f) {
        struct http1 *parser = f->parser;
        struct arena kept = f->kept, hop = f->hop;

        fetcher->free = f->next;
        fetcher->free_count--;
        memset(f, 0, sizeof *f);
        f->parser = parser;
        f->kept = kept;
        f->hop = hop;
    } else {
        f = calloc(1, sizeof *f);
        if (!f)
            abort(); // out of memory ends the process
        arena_init(&f->kept, KEPT_BYTES);
        arena_init(&f->hop, HOP_BYTES);
    }
    f->fetcher = fetcher;
    f->next = fetcher->fetches;
    f->link = &fetcher->fetches;
    if (f->next)
        f->next->link = &f->next;
    fetcher->fetches = f;
    return f;
}

struct fetch *fetch_start(struct fetcher *fetcher, const struct fetch_order *order,
                          const struct fetch_events *events, void *owner)
{
    struct fetch *f = fetch_new(fetcher);
    struct error error;

    assert(order->field_count <= FETCH_FIELDS);
    f->events = events;
    f->owner = owner;
    f->order = *order;
    f->method = order->method.at ? order->method : SPAN("GET");
    f->body = order->body;
    f->from_byte = f->position = order->from_byte;
    f->validator = order->if_range;
    f->may_be_private = true;
    f->total_ticket.on_granted = begin;
    f->host_ticket.on_granted = on_host_place;
    f->soon.run = begin;
    f->total_ticket.owner = f->host_ticket.owner = f->soon.owner = f;
    loop_timer_init(&f->limit, fetcher->loop, on_limit, f);
    loop_timer_init(&f->rest, fetcher->loop, on_rested, f);
    if (place_read(&f->place, &f->kept, order->url, NULL, &error)) {
        snprintf(f->why, sizeof f->why, "%s", error.text);
        f->soon.run = on_bad_url;
        loop_later(fetcher->loop, &f->soon);
        return f;
    }
    f->named = f->place;
    line_up(f);
    return f;
}

/* ---- connecting ---- */

static bool address_is_good(const struct fetch *f, const struct address *address,
                            struct error *error)
{
    char text[ADDRESS_TEXT_BYTES];

    if (f->may_be_private || address_classify(address) == ADDRESS_PUBLIC)
        return true;
    error_set(error, ERROR_FORBIDDEN, "a redirect from a public name to the %s address %s",
              address_class_name(address_classify(address)), address_text(address, text));
    return false;
}

static bool may_use(void *owner, const struct address *address, const struct resolve_answer *answer,
                    struct error *error)
{
    (void)answer;
    return address_is_good(owner, address, error);
}

static enum fetch_end end_of(enum error_kind kind)
{
    switch (kind) {
    case ERROR_REFUSED:
        return FETCH_REFUSED;
    case ERROR_NO_HOST:
        return FETCH_NO_HOST;
    case ERROR_TIMEOUT:
        return FETCH_TIMED_OUT;
    case ERROR_TLS:
        return FETCH_CERTIFICATE;
    case ERROR_ADDRESS:
        return FETCH_UNREACHABLE;
    case ERROR_FORBIDDEN:
        return FETCH_REDIRECT_REFUSED;
    case ERROR_LOST:
        return FETCH_LOST;
    case ERROR_SYNTAX:
    case ERROR_LIMIT:
    case ERROR_UNSUPPORTED:
        return FETCH_BAD_ANSWER;
    default:
        return FETCH_FAILED;
    }
}

static void send_head(struct fetch *f);
static void read_some(struct fetch *f);

static void take(struct fetch *f, struct outgoing *outgoing)
{
    struct error error;

    if (!outgoing->origin->parent && !outgoing->is_fresh &&
        !address_is_good(f, &outgoing->address, &error)) {
        outgoing_release(outgoing);
        done(f, FETCH_REDIRECT_REFUSED, error.text);
        return;
    }
    if (!outgoing->origin->parent && f->redirects == 0 &&
        address_classify(&outgoing->address) == ADDRESS_PUBLIC)
        f->was_public = true;
    f->outgoing = outgoing;
    outgoing->events = &outgoing_events;
    outgoing->owner = f;
    f->state = FETCH_TALKING;
    send_head(f);
}

static void on_ready(void *owner, struct outgoing *outgoing)
{
    take(owner, outgoing);
}

static void on_connect_failed(void *owner, const struct error *error)
{
    struct fetch *f = owner;

    switch (f->claim.failure) {
    case OUTGOING_BAD_CERTIFICATE:
    case OUTGOING_WANTS_CERTIFICATE:
        attempt_failed(f, FETCH_CERTIFICATE, error->text);
        break;
    case OUTGOING_DISAGREED:
        attempt_failed(f, FETCH_HANDSHAKE, error->text);
        break;
    case OUTGOING_UNREACHED:
        attempt_failed(f, end_of(error->kind), error->text);
        break;
    }
}

static bool find_roots(struct fetcher *fetcher, struct error *error)
{
    if (!fetcher->roots)
        fetcher->roots = fetcher->trust.roots(fetcher->trust.owner, error);
    return fetcher->roots != NULL;
}

static bool may_be_repeated(const struct fetch *f)
{
    return method_is_idempotent(method_of(f->method));
}

static void claim_connection(struct fetch *f, bool fresh_only)
{
    struct proxy *proxy = f->fetcher->proxy;
    const struct target *target = &f->place.target;
    struct outgoing_target to = {
        .to = { .host = target->host,
                .port = target->port,
                .is_literal = target_is_literal(target),
                .is_rooted = target->is_rooted },
        .settings = proxy->settings,
        .parent = settings_parent_for(proxy->settings, target->host),
        .fresh_only = fresh_only,
        .is_once = !may_be_repeated(f),
    };
    struct outgoing_tls tls = { .name = target->host };
    struct outgoing *outgoing;
    struct error error;

    if (target->scheme == TARGET_HTTPS) {
        if (!find_roots(f->fetcher, &error)) {
            done(f, FETCH_FAILED, error.text);
            return;
        }
        tls.roots = f->fetcher->roots;
        to.tls = &tls;
    }
    f->state = FETCH_CONNECTING;
    f->claim.on_ready = on_ready;
    f->claim.on_failed = on_connect_failed;
    f->claim.may_use = may_use;
    f->claim.owner = f;
    outgoing = outgoing_claim(proxy, &f->claim, &to);
    if (outgoing)
        take(f, outgoing);
}

/* ---- the request ---- */

/* What may be told to any origin that a redirect names; everything else that the order says, as
 * credentials, keys and cookies do, is for the origin that it names. */
static bool may_travel(enum field_id id, struct span name)
{
    switch (id) {
    case FIELD_ACCEPT:
    case FIELD_ACCEPT_ENCODING:
    case FIELD_CACHE_CONTROL:
    case FIELD_CONTENT_TYPE:
    case FIELD_PRAGMA:
    case FIELD_RANGE:
    case FIELD_SEC_GPC:
    case FIELD_USER_AGENT:
        return true;
    default:
        return span_equal_nocase(name, SPAN("Accept-Language"));
    }
}

static bool asks_for_part(const struct fetch *f)
{
    return f->from_byte > 0;
}

static bool add_ours(struct fetch *f, struct message *request)
{
    bool good = message_add(request, SPAN("User-Agent"), SPAN("dejunk/" DEJUNK_VERSION)) &&
                message_add(request, SPAN("Accept"), SPAN("*/*"));

    good = good &&
           message_add(request, SPAN("Accept-Encoding"),
                       f->order.takes_codings && !asks_for_part(f) ? SPAN("gzip, deflate, br, zstd")
                                                                   : SPAN("identity"));
    if (asks_for_part(f)) {
        good = good &&
               message_add(request, SPAN("Range"),
                           arena_printf(&f->hop, "bytes=%llu-", (unsigned long long)f->from_byte));
        if (f->validator.size)
            good = good && message_add(request, SPAN("If-Range"), f->validator);
    }
    if (f->order.if_none_match.size)
        good = good && message_add(request, SPAN("If-None-Match"), f->order.if_none_match);
    if (f->order.if_modified_since.size)
        good = good && message_add(request, SPAN("If-Modified-Since"), f->order.if_modified_since);
    return good;
}

/* The order's own fields take the place of ours; "" as value only takes ours away. */
static bool add_own(struct fetch *f, struct message *request, bool is_named)
{
    bool good = true;

    for (size_t i = 0; i < f->order.field_count; i++) {
        enum field_id id = field_id_of(f->order.fields[i].name);
        if (id != FIELD_OTHER)
            message_drop(request, id);
    }
    for (size_t i = 0; i < f->order.field_count; i++) {
        const struct fetch_field *field = &f->order.fields[i];
        enum field_id id = field_id_of(field->name);

        if (field->value.size == 0 || id == FIELD_HOST ||
            (!is_named && !may_travel(id, field->name)))
            continue;
        if (id == FIELD_CONTENT_TYPE && !f->body.at)
            continue;
        good = good && message_add(request, field->name, field->value);
    }
    return good;
}

static bool build_request(struct fetch *f)
{
    struct message *request = &f->request;
    bool is_named = place_same_origin(&f->place, &f->named), good;

    message_init(request, &f->hop, true);
    request->method_name = f->method;
    request->method = method_of(f->method);
    good = add_ours(f, request);
    if (f->body.at) {
        request->framing = FRAMING_LENGTH;
        request->body_bytes = f->body.size;
        request->has_length = true;
        good = good && message_add(request, SPAN("Content-Type"),
                                   SPAN("application/x-www-form-urlencoded"));
    }
    if (is_named && f->named.authorization.at)
        good = good && message_add(request, SPAN("Authorization"), f->named.authorization);
    return good && add_own(f, request, is_named);
}

static void put_upload(struct fetch *f)
{
    struct outbox *outbox = &f->outgoing->outbox;

    while (outbox_is_empty(outbox) && !outbox->is_broken && f->body_put < f->body.size) {
        struct span piece = span_from(f->body, f->body_put);

        if (piece.size > UPLOAD_BYTES)
            piece.size = UPLOAD_BYTES;
        outbox_put(outbox, piece);
        f->body_put += piece.size;
        outbox_flush(outbox);
    }
    // It may have answered before it went away: what it said is read first.
    if (outbox->is_broken)
        f->upload_is_void = true;
}

/* Does the dejunk that all goes through speak for the origin? A resumed connection has no chain
 * any more: it is known by who signed the leaf. */
static bool is_looked_into(const struct fetch *f)
{
    struct fetcher *fetcher = f->fetcher;
    SSL *ssl = stream_tls_ssl(&f->outgoing->stream);
    X509 *leaf = ssl ? SSL_get0_peer_certificate(ssl) : NULL;
    STACK_OF(X509) *chain = ssl ? SSL_get0_verified_chain(ssl) : NULL;
    unsigned long issuer;

    if (!leaf || !fetcher->trust.is_own)
        return false;
    issuer = X509_issuer_name_hash(leaf);
    if (chain && sk_X509_num(chain) > 0) {
        if (!fetcher->trust.is_own(fetcher->trust.owner,
                                   sk_X509_value(chain, sk_X509_num(chain) - 1)))
            return false;
        fetcher->own_issuer = issuer;
    }
    return issuer && issuer == fetcher->own_issuer;
}

static void send_head(struct fetch *f)
{
    struct outgoing *outgoing = f->outgoing;
    const struct parent *parent = outgoing->origin->parent;
    struct http1_request_line line = { .target = f->place.target.path_and_query,
                                       .host = f->place.target.authority };
    struct buffer *head;
    size_t from;
    bool good;

    arena_reset(&f->hop);
    good = build_request(f);
    if (parent && parent->kind == PARENT_HTTP && f->place.target.scheme == TARGET_HTTP) {
        line.target = f->place.url;
        if (parent->authorization.at)
            good = good &&
                   message_add(&f->request, SPAN("Proxy-Authorization"), parent->authorization);
    }
    f->asked_why =
        parent && parent->asks_why && (f->place.target.scheme == TARGET_HTTP || is_looked_into(f));
    if (f->asked_why)
        good = good && message_add(&f->request, REPORT_ASK, SPAN("1"));
    decoder_free(&f->decoder);
    f->got_response = f->head_is_in = f->response_finished = f->has_failed = false;
    f->upload_is_void = false;
    f->body_put = 0;
    f->hop_bytes = 0;
    f->purpose = FOR_OWNER;
    outgoing->uses++;
    if (f->parser && http1_phase(f->parser) != PHASE_FINISHED)
        http1_free(&f->parser);
    if (!f->parser)
        f->parser = http1_new(SIDE_OUTGOING, &response_events, f);
    message_init(&f->response, &f->hop, false);
    http1_begin(f->parser, &f->response, f->request.method);
    http1_resume(f->parser); // it may have been paused at the end of another response

    head = outbox_head(&outgoing->outbox);
    from = head->size;
    if (!good || !http1_write_request(head, &f->request, &line)) {
        close_outgoing(f);
        done(f, FETCH_FAILED, "the request is too large");
        return;
    }
    outbox_put_head(&outgoing->outbox, from);
    outbox_flush(&outgoing->outbox);
    put_upload(f);
    loop_timer_set(&outgoing->timer,
                   f->fetcher->proxy->settings->config->response_header_timeout_ms);
    update_wants(f);
}

/* ---- how an attempt ends ---- */

/* Gives connection and places back, so that the next in line can have them. */
static void let_go(struct fetch *f, bool is_clean)
{
    unthrottle(f);
    if (f->outgoing && is_clean)
        outgoing_release(f->outgoing);
    else if (f->outgoing)
        outgoing_close(f->outgoing, false);
    f->outgoing = NULL;
}

static void rest(struct fetch *f, uint64_t wait_ms, enum fetch_end end, const char *why)
{
    struct fetch_again again = {
        .kind = FETCH_WILL_RETRY,
        .response = f->head_is_in ? &f->response : NULL,
        .url = f->place.url,
        .wait_ms = wait_ms,
        .end = end,
        .why = why,
    };

    // What is there already need not come again, where the origin can tell that it is the same.
    f->from_byte =
        f->got_head && f->is_plain && f->validator.size ? f->position : f->order.from_byte;
    leave_line(f);
    f->state = FETCH_RESTING;
    loop_timer_set(&f->rest, wait_ms ? wait_ms : 1);
    if (f->events->on_again)
        f->events->on_again(f->owner, &again);
}

static uint64_t back_off_ms(const struct fetch *f)
{
    uint32_t chance;

    random_bytes(&chance, sizeof chance);
    return patience_wait_ms(f->attempts - f->redirects, chance);
}

static bool end_may_pass(enum fetch_end end)
{
    return end == FETCH_REFUSED || end == FETCH_TIMED_OUT || end == FETCH_UNREACHABLE ||
           end == FETCH_LOST || end == FETCH_SHORT;
}

/* Of a body that broke off, the owner has the beginning: can it be got anyhow? */
static bool may_go_on(const struct fetch *f)
{
    if (!f->got_head || f->order.can_restart || f->position == f->order.from_byte)
        return true;
    return f->is_plain && f->validator.size;
}

/* Without a whole response, for reasons of the connection. */
static void attempt_failed(struct fetch *f, enum fetch_end end, const char *why)
{
    bool was_sent = f->outgoing != NULL;
    bool was_kept = was_sent && f->outgoing->uses > 1;

    let_go(f, false);
    if (was_kept && end == FETCH_LOST && !f->got_response && !f->was_resent && may_be_repeated(f)) {
        f->was_resent = true;
        claim_connection(f, true);
        return;
    }
    if (end_may_pass(end) && f->attempts - f->redirects <= f->order.retries && may_go_on(f) &&
        (may_be_repeated(f) || !was_sent)) {
        rest(f, back_off_ms(f), end, why);
        return;
    }
    done(f, end, why);
}

static void redirect(struct fetch *f)
{
    struct span location = message_value(&f->response, FIELD_LOCATION);
    unsigned status = f->response.status;
    struct fetch_again again = { .kind = FETCH_REDIRECTED, .response = &f->response, .why = "" };
    struct place from = f->place, to;
    struct error error;
    bool is_public, same_host;

    if (f->redirects >= f->order.max_redirects) {
        done(f, FETCH_TOO_MANY_REDIRECTS, "");
        return;
    }
    if (place_read(&to, &f->kept, location, &from, &error)) {
        done(f, FETCH_REDIRECT_REFUSED, error.text);
        return;
    }
    if (from.target.scheme == TARGET_HTTPS && to.target.scheme == TARGET_HTTP &&
        !f->order.may_downgrade) {
        done(f, FETCH_REDIRECT_REFUSED, "from https to http");
        return;
    }
    same_host = span_equal(from.target.host, to.target.host);
    is_public = !destination_is_local_name(from.target.host);
    if (target_is_literal(&from.target)) {
        struct address address;
        is_public = address_parse(&address, from.target.host, 0) &&
                    address_classify(&address) == ADDRESS_PUBLIC;
    }
    if (f->was_public)
        f->may_be_private = false; // its own name too: it may have come to mean another address
    else if (span_equal(to.target.host, f->named.target.host))
        f->may_be_private = true; // the order's author named it
    else if (!same_host && is_public)
        f->may_be_private = false;
    if (!f->may_be_private) { // what can be told before it is looked up, and behind another proxy
        struct address address;
        bool is_literal = target_is_literal(&to.target);
        if (is_literal && address_parse(&address, to.target.host, 0) &&
            !address_is_good(f, &address, &error)) {
            done(f, FETCH_REDIRECT_REFUSED, error.text);
            return;
        }
        if (!is_literal && destination_is_local_name(to.target.host)) {
            done(f, FETCH_REDIRECT_REFUSED, "a redirect from a public name to a local one");
            return;
        }
    }
    f->place = to;
    f->redirects++;
    again.url = to.url;
    // RFC 9110 section 15.4: what browsers do with the method.
    if ((status == 303 && !span_equal(f->method, SPAN("HEAD"))) ||
        ((status == 301 || status == 302) && span_equal(f->method, SPAN("POST")))) {
        f->method = SPAN("GET");
        f->body = SPAN_NONE;
    }
    leave_line(f);
    f->state = FETCH_IN_LINE;
    if (f->events->on_again)
        f->events->on_again(f->owner, &again);
    if (f->state == FETCH_IN_LINE)
        line_up(f);
}

static void retry_later(struct fetch *f)
{
    const struct field *after = message_find_name(&f->response, SPAN("Retry-After"));
    uint64_t wait_ms = back_off_ms(f), seconds;
    char why[64];

    if (after && patience_retry_after(after->value, time(NULL), &seconds) &&
        seconds * 1000 > wait_ms / 2)
        wait_ms = seconds * 1000 + wait_ms / 4; // not all who were told so at the same moment
    snprintf(why, sizeof why, "status %u", f->response.status);
    rest(f, wait_ms, FETCH_DONE, why);
}

/* The response is there to its end, or to where nobody wants more of it. */
static void response_is_done(struct fetch *f, bool is_clean)
{
    let_go(f, is_clean);
    switch (f->purpose) {
    case FOR_OWNER:
        done(f, FETCH_DONE, "");
        break;
    case FOR_REDIRECT:
        redirect(f);
        break;
    case FOR_RETRY:
        retry_later(f);
        break;
    }
}

/* ---- the response ---- */

static void fail(struct fetch *f, enum fetch_end end, const char *why)
{
    if (f->has_failed)
        return;
    f->has_failed = true;
    f->end = end;
    snprintf(f->why, sizeof f->why, "%s", why);
    http1_pause(f->parser);
}

static bool is_redirect(const struct fetch *f)
{
    switch (f->response.status) {
    case 301:
    case 302:
    case 303:
    case 307:
    case 308:
        return message_find(&f->response, FIELD_LOCATION) != NULL;
    default:
        return false;
    }
}

static bool is_worth_a_retry(const struct fetch *f)
{
    const struct field *after = message_find_name(&f->response, SPAN("Retry-After"));
    uint64_t seconds;

    if (!patience_status(f->response.status) || f->attempts - f->redirects > f->order.retries ||
        !may_be_repeated(f) || !may_go_on(f))
        return false;
    if (!after || !patience_retry_after(after->value, time(NULL), &seconds))
        return true;
    return seconds <= FETCH_RETRY_AFTER_S;
}

/* Does the order ask for a part in words of its own? */
static bool names_own_range(const struct fetch *f)
{
    for (size_t i = 0; i < f->order.field_count; i++)
        if (field_id_of(f->order.fields[i].name) == FIELD_RANGE)
            return true;
    return false;
}

static bool judge_part(struct fetch *f, struct fetch_head *head)
{
    const struct message *response = &f->response;
    struct part part;

    f->part_end = f->whole_end = UINT64_MAX;
    if (response->status != 206)
        return true;
    if (!asks_for_part(f)) {
        if (!names_own_range(f))
            fail(f, FETCH_BAD_ANSWER, "a part of the body, of which the whole was asked for");
        return !f->has_failed;
    }
    if (!part_read(&part, message_value(response, FIELD_CONTENT_RANGE)) ||
        part.first != f->from_byte) {
        fail(f, FETCH_BAD_ANSWER, "another part of the body than was asked for");
        return false;
    }
    if (response->framing == FRAMING_LENGTH && response->body_bytes != part.last - part.first + 1) {
        fail(f, FETCH_BAD_ANSWER, "a part that is not as long as it says");
        return false;
    }
    head->body_from = part.first;
    head->whole_bytes = part.whole;
    head->is_other = part_is_of_another(response, f->validator);
    if (response->framing != FRAMING_NONE) {
        f->part_end = part.last + 1;
        f->whole_end = part.whole == UINT64_MAX ? part.last + 1 : part.whole;
    }
    return true;
}

/* What is on the way in codings that we asked for is undone; what is in others stays as it is. */
static void open_decoder(struct fetch *f)
{
    const struct message *response = &f->response;
    struct codings codings = { .count = 0 };

    if (!f->order.takes_codings || response->framing == FRAMING_NONE)
        return;
    for (const struct field *field = message_find(response, FIELD_CONTENT_ENCODING); field;
         field = message_find_next(response, field))
        if (!codings_add(&codings, field->value))
            return;
    if (codings.count)
        f->decoder = decoder_new(&codings, &f->fetcher->coding_memory);
}

static void tell_head(struct fetch *f)
{
    const struct message *response = &f->response;
    struct fetch_head head = {
        .response = response,
        .url = f->place.url,
        .whole_bytes = UINT64_MAX,
        .validator = part_validator(response),
        .peer = f->outgoing->origin->parent ? NULL : &f->outgoing->address,
        .asked_why = f->asked_why,
    };

    open_decoder(f);
    head.is_plain = f->decoder == NULL;
    if (response->framing == FRAMING_LENGTH && head.is_plain)
        head.whole_bytes = response->body_bytes;
    else if (response->framing == FRAMING_NONE)
        head.whole_bytes = 0;
    if (!judge_part(f, &head))
        return;
    if (head.body_from != f->position && f->got_head && !f->order.can_restart) {
        fail(f, FETCH_SHORT, "it cannot go on where it broke off");
        return;
    }
    if (f->order.max_bytes && head.whole_bytes != UINT64_MAX &&
        head.whole_bytes > f->order.max_bytes && f->request.method != METHOD_HEAD) {
        fail(f, FETCH_TOO_LARGE, "it says that it is longer than allowed");
        return;
    }
    f->status = response->status;
    f->is_plain = head.is_plain;
    f->position = head.body_from;
    f->body_bytes = 0;
    if (head.body_from == 0 || !f->validator.at)
        f->validator = head.validator.size ? arena_copy(&f->kept, head.validator) : SPAN_NONE;
    f->got_head = true;
    f->events->on_headers(f->owner, &head);
    if (head.is_other && f->state != FETCH_OVER)
        fail(f, FETCH_BAD_ANSWER, "a part of another body than the part that is there");
}

static void on_response_headers(void *owner)
{
    struct fetch *f = owner;

    f->head_is_in = true;
    if (f->response.is_upgrade) {
        fail(f, FETCH_BAD_ANSWER, "it switches to a protocol that nobody asked for");
    } else if (is_redirect(f)) {
        f->purpose = FOR_REDIRECT;
    } else if (is_worth_a_retry(f)) {
        f->purpose = FOR_RETRY;
    } else {
        tell_head(f);
    }
}

static void take_body(struct fetch *f, struct span bytes)
{
    if (f->order.max_bytes && f->position + bytes.size > f->order.max_bytes) {
        fail(f, FETCH_TOO_LARGE, "it is longer than allowed");
        return;
    }
    if (bytes.size > f->part_end - f->position) {
        fail(f, FETCH_BAD_ANSWER, "a part that is not as long as it says");
        return;
    }
    f->position += bytes.size;
    f->body_bytes += bytes.size;
    f->events->on_body(f->owner, bytes);
}

/* Makes pieces of the body out of `bytes`, and with is_last what is left. */
static void decode(struct fetch *f, struct span bytes, bool is_last)
{
    struct fetcher *fetcher = f->fetcher;
    size_t made = DECODED_BYTES;
    struct error error;

    if (!fetcher->decoded && !(fetcher->decoded = malloc(DECODED_BYTES)))
        abort(); // out of memory ends the process
    while (made == DECODED_BYTES && f->state != FETCH_OVER && !f->has_failed) {
        enum error_kind kind = decoder_run(f->decoder, &bytes, is_last, fetcher->decoded,
                                           DECODED_BYTES, &made, &error);

        if (made)
            take_body(f, span_of(fetcher->decoded, made));
        if (f->state == FETCH_OVER)
            return;
        if (kind)
            fail(f, kind == ERROR_LIMIT ? FETCH_TOO_LARGE : FETCH_BAD_CODING, error.text);
        else if (f->body_bytes > FETCH_BOMB_BYTES &&
                 f->body_bytes / FETCH_BOMB_RATIO > f->hop_bytes)
            fail(f, FETCH_TOO_LARGE, "it swells as no body does that is meant to be read");
    }
}

static void on_response_body(void *owner, struct span bytes)
{
    struct fetch *f = owner;

    if (f->state == FETCH_OVER || f->has_failed)
        return;
    f->hop_bytes += bytes.size;
    if (f->purpose == FOR_OWNER && f->decoder)
        decode(f, bytes, false);
    else if (f->purpose == FOR_OWNER)
        take_body(f, bytes);
    else if (f->hop_bytes > FETCH_DRAIN_BYTES)
        http1_pause(f->parser);
}

static void on_response_finished(void *owner)
{
    struct fetch *f = owner;

    f->response_finished = true;
    if (f->state == FETCH_OVER || f->has_failed || f->purpose != FOR_OWNER)
        return;
    if (f->decoder)
        decode(f, SPAN_NONE, true);
    if (f->state != FETCH_OVER && f->whole_end != UINT64_MAX && f->position != f->whole_end)
        fail(f, FETCH_SHORT, "a part that does not reach the end of the body");
}

static void on_response_error(void *owner, const struct error *error, unsigned status)
{
    struct fetch *f = owner;

    (void)status;
    if (error->kind == ERROR_LOST)
        fail(f, f->head_is_in ? FETCH_SHORT : FETCH_LOST, error->text);
    else
        fail(f, FETCH_BAD_ANSWER, error->text);
}

static const struct phases_events response_events = {
    .on_headers_finished = on_response_headers,
    .on_body = on_response_body,
    .on_finished = on_response_finished,
    .on_error = on_response_error,
};

/* After bytes, or the end, were fed to the parser. */
static void go_on(struct fetch *f, bool has_extra)
{
    struct outgoing *outgoing = f->outgoing;

    if (f->state == FETCH_OVER)
        return;
    if (f->has_failed) {
        enum fetch_end end = f->end;
        char why[WHY_BYTES];
        snprintf(why, sizeof why, "%s", f->why);
        if (end == FETCH_LOST || end == FETCH_SHORT) {
            attempt_failed(f, end, why);
        } else {
            close_outgoing(f);
            done(f, end, why);
        }
        return;
    }
    if (f->response_finished) {
        response_is_done(f, !has_extra && f->response.keep_alive && !f->response.is_abnormal &&
                                !f->upload_is_void && f->body_put == f->body.size &&
                                outbox_is_empty(&outgoing->outbox));
        return;
    }
    if (f->purpose != FOR_OWNER && f->hop_bytes > FETCH_DRAIN_BYTES) {
        response_is_done(f, false);
        return;
    }
    if (f->head_is_in) {
        if (f->is_paused)
            loop_timer_stop(&outgoing->timer);
        else
            loop_timer_set(&outgoing->timer,
                           f->fetcher->proxy->settings->config->idle_body_timeout_ms);
    }
    update_wants(f);
}

static void read_some(struct fetch *f)
{
    struct fetcher *fetcher = f->fetcher;
    char *scratch = fetcher->loop->scratch;
    size_t size = LOOP_SCRATCH_BYTES, got = 0, eaten;

    if (fetcher->limits.rate_bytes_s) {
        refill(fetcher);
        if (fetcher->rate_left <= 0) {
            throttle(f);
            update_wants(f);
            return;
        }
        size = RATE_READ_BYTES;
        if ((uint64_t)fetcher->rate_left < size)
            size = (size_t)fetcher->rate_left;
    }
    switch (stream_read(&f->outgoing->stream, scratch, size, &got)) {
    case STREAM_OK:
        f->wire_bytes += got;
        fetcher->wire_bytes += got;
        fetcher->rate_left -= (int64_t)got;
        f->got_response = true;
        eaten = http1_feed(f->parser, span_of(scratch, got));
        go_on(f, eaten < got);
        break;
    case STREAM_WAIT:
        break;
    case STREAM_END:
        http1_end(f->parser);
        go_on(f, true);
        break;
    case STREAM_LOST:
        attempt_failed(f, f->head_is_in ? FETCH_SHORT : FETCH_LOST, "the connection was reset");
        break;
    }
}

static void on_readable(void *owner)
{
    read_some(owner);
}

static void on_writable(void *owner)
{
    struct fetch *f = owner;
    struct outbox *outbox = &f->outgoing->outbox;
    uint64_t before = outbox->written_bytes;

    outbox_flush(outbox);
    put_upload(f);
    // The time for an answer counts from when the far side took the last of what is sent.
    if (outbox->written_bytes != before && !f->head_is_in)
        loop_timer_set(&f->outgoing->timer,
                       f->fetcher->proxy->settings->config->response_header_timeout_ms);
    update_wants(f);
}

static void on_timeout(void *owner)
{
    struct fetch *f = owner;

    attempt_failed(f, FETCH_TIMED_OUT,
                   f->head_is_in ? "nothing more came of the body" : "no answer came");
}

static const struct outgoing_events outgoing_events = { on_readable, on_writable, on_timeout };

void fetch_pause(struct fetch *f)
{
    f->is_paused = true;
    if (f->outgoing) {
        if (f->head_is_in)
            loop_timer_stop(&f->outgoing->timer);
        update_wants(f);
    }
}

void fetch_resume(struct fetch *f)
{
    if (!f->is_paused)
        return;
    f->is_paused = false;
    if (f->outgoing) {
        if (f->head_is_in)
            loop_timer_set(&f->outgoing->timer,
                           f->fetcher->proxy->settings->config->idle_body_timeout_ms);
        update_wants(f);
    }
}
