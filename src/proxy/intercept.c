#include "proxy/intercept.h"

#include <assert.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "io/stream_tls.h"
#include "proxy/judge.h"
#include "proxy/tunnel.h"
#include "trust/origin.h"

enum state { COLLECTING, ORIGIN, LEAF, BROWSER, TUNNEL };

struct intercept {
    struct proxy *proxy;
    struct session *session;
    struct settings *settings; // referenced
    struct access_note *note;
    struct hello_collector collector;
    struct loop_task begin; // when the session has put away what came behind CONNECT
    struct loop_timer timer;
    struct claim claim;
    struct leaf_wait leaf;
    struct error *failure;    // what kept us from the origin; NULL: nothing
    struct address origin_at; // of a connection that was no good; no family: there was none
    struct loop_grave grave;
    enum state state;
    uint16_t port;
    bool is_literal, is_rooted, is_stopped, is_our_name;
    bool has_begun;
    bool speaks_http1; // by ALPN: the origin named it, and the browser did before
    struct span host, user;
    struct span name; // who the origin must be: the host, or SNI where CONNECT has an address
    char text[];
};

static const struct stream_events stream_events;

/* ---- its end ---- */

static void dig(struct loop_grave *grave)
{
    struct intercept *it = (struct intercept *)((char *)grave - offsetof(struct intercept, grave));

    hello_collector_done(&it->collector); // not before: spans point into it
    free(it->failure);
    free(it);
}

/* The session goes its own way. */
static void bury(struct intercept *it)
{
    it->session->intercept = NULL;
    outgoing_cancel(&it->claim);
    leaf_cancel(&it->leaf);
    loop_later_cancel(it->proxy->loop, &it->begin);
    loop_timer_stop(&it->timer);
    settings_unref(&it->settings);
    loop_bury(it->proxy->loop, &it->grave, dig);
}

void intercept_let_go(struct intercept *it)
{
    access_log_tunnel(it->proxy, &it->note, 0);
    bury(it);
}

static void stop(struct intercept *it, bool reset)
{
    session_close(it->session, reset); // calls intercept_let_go()
}

/* ---- what is known, and what it means ---- */

static struct choice_question question_of(const struct intercept *it)
{
    return (struct choice_question){ .settings = it->settings,
                                     .client = &it->session->peer,
                                     .user = it->user,
                                     .host = it->name,
                                     .family = it->collector.hello.family };
}

static void note(const struct intercept *it, enum learned_kind kind)
{
    struct choice_question question = question_of(it);

    choice_note(it->proxy->interception->choice, &question, kind, it->is_stopped);
}

static bool says_untrusted(int alert)
{
    return alert == SSL_AD_UNKNOWN_CA || alert == SSL_AD_BAD_CERTIFICATE ||
           alert == SSL_AD_CERTIFICATE_UNKNOWN;
}

bool intercept_may(struct session *session, const struct intercept_plan *plan)
{
    const struct interception *interception = session->proxy->interception;
    struct choice_question question = {
        .settings = plan->settings, .client = &session->peer, .user = plan->user, .host = plan->host
    };

    return interception_is_ready(interception, plan->settings, plan->host) &&
           choice_ask(interception->choice, &question) == CHOICE_INTERCEPT;
}

/* What the rules say to a CONNECT to the name in the hello. */
static struct judgement judgement_of(const struct intercept *it, struct span name)
{
    struct target target = { .host = name };
    struct case_file file = {
        .settings = it->settings, .target = &target, .client = &it->session->peer, .user = it->user
    };
    struct judgement judgement;

    judge_connect(it->proxy->judge, &file, &judgement);
    return judgement;
}

/* ---- a tunnel after all ---- */

static void on_tunnel_ready(void *owner, struct outgoing *outgoing)
{
    struct intercept *it = owner;
    struct session *session = it->session;
    struct scope_plan plan = {
        .host = it->host, .to = it->host, .user = it->user, .port = it->port
    };
    // One that was silent may still turn out to be HTTP.
    struct scope *scope = it->collector.kept.size ? NULL : scope_new(&plan);
    uint64_t idle_ms = it->settings->config->tunnel_idle_timeout_ms;

    buffer_release(&session->early);
    session->early = it->collector.kept;
    it->collector.kept = (struct buffer){ 0 };
    session->note = it->note;
    it->note = NULL;
    count(it->proxy, METRIC_INTERCEPT_PASSED);
    bury(it);
    tunnel_start(session, outgoing, buffer_span(&outgoing->early), &scope, idle_ms);
}

static void on_tunnel_failed(void *owner, const struct error *error)
{
    struct intercept *it = owner;

    log_info("host=%.*s no tunnel: %s", SPAN_PRINT(it->host), error->text);
    stop(it, true);
}

static struct outgoing_target target_of(const struct intercept *it)
{
    return (struct outgoing_target){
        .to = { .host = it->host,
                .port = it->port,
                .is_literal = it->is_literal,
                .is_rooted = it->is_rooted },
        .settings = it->settings,
        .parent = it->settings->parent_count ? settings_parent_for(it->settings, it->host) : NULL,
    };
}

/* The browser deals with the origin itself; where the rules stop the host, nobody does. */
static void pass(struct intercept *it)
{
    struct outgoing_target target = target_of(it);

    if (it->is_stopped || it->is_our_name) {
        stop(it, false);
        return;
    }
    it->state = TUNNEL;
    loop_timer_stop(&it->timer);
    stream_want(&it->session->stream, 0);
    target.is_tunnel = true;
    if (it->origin_at.any.sa_family)
        target.only_at = &it->origin_at;
    it->claim.on_ready = on_tunnel_ready;
    it->claim.on_failed = on_tunnel_failed;
    if (outgoing_claim(it->proxy, &it->claim, &target))
        assert(false); // a fresh one comes later
}

/* ---- the browser's handshake ---- */

static void become_https(struct intercept *it)
{
    struct session *session = it->session;
    struct scope_plan plan = { .host = it->name,
                               .to = it->host,
                               .user = it->user,
                               .port = it->port,
                               .to_is_literal = it->is_literal,
                               .to_is_rooted = it->is_rooted,
                               .is_stopped = it->is_stopped,
                               .hello = &it->collector.hello,
                               .failure = it->failure,
                               .now_ms = loop_now_ms(it->proxy->loop) };

    assert(session->early.size == 0); // nothing in clear becomes a request inside
    note(it, LEARNED_ACCEPTED);
    scope_free(&session->scope);
    session->scope = scope_new(&plan);
    free(it->note); // its requests have lines of their own
    it->note = NULL;
    count(it->proxy, METRIC_INTERCEPT_OPENED);
    bury(it);
    session_end_tunnel(session);
}

static void on_browser_shaken(void *owner, const struct stream_tls_failure *failure)
{
    struct intercept *it = owner;
    bool is_alert;

    if (!failure) {
        become_https(it);
        return;
    }
    is_alert = failure->ending == STREAM_TLS_ALERT_FROM_PEER;
    log_info("host=%.*s no TLS with the browser: %s", SPAN_PRINT(it->name), failure->error.text);
    count(it->proxy, METRIC_INTERCEPT_FAILED);
    if (failure->certificate_was_sent &&
        interception_signed(it->proxy->interception, stream_tls_ssl(&it->session->stream))) {
        if (is_alert && says_untrusted(failure->alert))
            note(it, LEARNED_REFUSED);
        else if (failure->ending == STREAM_TLS_CLOSED || failure->ending == STREAM_TLS_LOST)
            note(it, LEARNED_CLOSED);
    }
    stop(it, false);
}

/* Of a tunnel that was opened before. */
static void note_later(struct session *session, enum learned_kind kind)
{
    const struct scope *scope = session->scope;
    struct choice_question question = { .settings = session->proxy->settings,
                                        .client = &session->peer,
                                        .user = scope->user,
                                        .host = scope->host,
                                        .family = scope->hello->family };

    choice_note(session->proxy->interception->choice, &question, kind, scope->is_stopped);
}

void intercept_note_wanted(struct session *session)
{
    note_later(session, LEARNED_CLIENT_CERTIFICATE);
}

bool intercept_note_asked_again(struct session *session, const struct outgoing *outgoing)
{
    const struct scope *scope = session->scope;
    const SSL *ssl = stream_tls_ssl(&outgoing->stream); // NULL: our own pages come in clear

    if (!scope || !scope->is_secure || !ssl || !origin_asked_again(ssl))
        return false;
    log_info("host=%.*s is passed through from now on: it asks for another handshake",
             SPAN_PRINT(scope->host));
    note_later(session, LEARNED_CLIENT_CERTIFICATE);
    return true;
}

void intercept_note_loss(struct session *session)
{
    const struct scope *scope = session->scope;
    int alert;

    if (scope && scope->is_secure && !scope->has_asked &&
        stream_tls_ending(&session->stream, &alert) == STREAM_TLS_ALERT_FROM_PEER &&
        says_untrusted(alert) &&
        interception_signed(session->proxy->interception, stream_tls_ssl(&session->stream)))
        note_later(session, LEARNED_REFUSED);
}

static void begin_browser(struct intercept *it, struct leaf *leaf)
{
    struct interception *interception = it->proxy->interception;
    struct stream *stream = &it->session->stream;
    SSL *ssl = browser_begin(interception->browser, leaf, leaf_cache_key(interception->leaves),
                             it->speaks_http1 ? SPAN("http/1.1") : SPAN_NONE, it->name);

    it->state = BROWSER;
    loop_timer_set(&it->timer, INTERCEPT_HANDSHAKE_MS);
    stream_init_tls(stream, stream, &ssl, buffer_span(&it->collector.kept), &stream_events, it);
    stream_tls_shake_hands(stream, on_browser_shaken);
}

/* ---- the leaf ---- */

/* Without a signer nothing is opened; what it may not or cannot sign now is not for us to open. */
static void leaf_failed(struct intercept *it, const struct error *error)
{
    log_warning("host=%.*s no certificate: %s", SPAN_PRINT(it->name), error->text);
    count(it->proxy, METRIC_INTERCEPT_FAILED);
    if ((error->kind == ERROR_FORBIDDEN || error->kind == ERROR_LIMIT) && !it->failure)
        pass(it);
    else
        stop(it, true);
}

static void on_leaf(void *owner, struct leaf *leaf, const struct error *error)
{
    if (leaf)
        begin_browser(owner, leaf);
    else
        leaf_failed(owner, error);
}

/* `origin` is its certificate, or NULL where it was not seen. */
static void want_leaf(struct intercept *it, const X509 *origin)
{
    struct leaf_cache *leaves = it->proxy->interception->leaves;
    struct leaf_names names;
    struct leaf *leaf = NULL;
    struct error error;
    enum error_kind kind;

    if (!leaves) { // gone meanwhile
        error_set(&error, ERROR_FORBIDDEN, "there is no authority any more");
        leaf_failed(it, &error);
        return;
    }
    kind = leaf_names_collect(&names, leaf_cache_constraints(leaves), it->name, origin, &error);
    if (kind == ERROR_NONE) {
        it->state = LEAF;
        loop_timer_set(&it->timer, INTERCEPT_LEAF_MS);
        it->leaf.on_leaf = on_leaf;
        it->leaf.owner = it;
        kind = leaf_get(leaves, &it->leaf, &names, time(NULL), &leaf, &error);
    }
    if (kind)
        leaf_failed(it, &error);
    else if (leaf)
        begin_browser(it, leaf);
}

/* ---- the origin's handshake ---- */

static void on_origin_ready(void *owner, struct outgoing *outgoing)
{
    struct intercept *it = owner;
    SSL *ssl = stream_tls_ssl(&outgoing->stream);
    X509 *certificate = SSL_get1_peer_certificate(ssl);
    const unsigned char *protocol;
    unsigned size;

    SSL_get0_alpn_selected(ssl, &protocol, &size);
    it->speaks_http1 = size > 0;
    it->origin_at = outgoing->address;
    outgoing_release(outgoing); // the first request takes it from the pool
    want_leaf(it, certificate);
    X509_free(certificate);
}

static void on_origin_failed(void *owner, const struct error *error)
{
    struct intercept *it = owner;

    it->origin_at = it->claim.tried;
    switch (it->claim.failure) {
    case OUTGOING_BAD_CERTIFICATE:
        log_notice("host=%.*s is passed through: its certificate is not good: %s",
                   SPAN_PRINT(it->name), error->text);
        pass(it);
        break;
    case OUTGOING_WANTS_CERTIFICATE:
        log_info("host=%.*s is passed through: %s", SPAN_PRINT(it->name), error->text);
        note(it, LEARNED_CLIENT_CERTIFICATE);
        pass(it);
        break;
    case OUTGOING_DISAGREED:
        log_info("host=%.*s is passed through: %s", SPAN_PRINT(it->name), error->text);
        pass(it);
        break;
    case OUTGOING_UNREACHED:
        it->failure = malloc(sizeof *it->failure);
        if (!it->failure)
            abort(); // out of memory ends the worker; the master starts another
        *it->failure = *error;
        it->speaks_http1 = hello_offers(&it->collector.hello, SPAN("http/1.1"));
        want_leaf(it, NULL);
        break;
    }
}

static void ask_origin(struct intercept *it)
{
    const struct interception *interception = it->proxy->interception;
    const struct hello *hello = &it->collector.hello;
    struct outgoing_tls tls = {
        .name = it->name,
        .roots = anchors_for(interception->anchors, it->settings, it->name),
        .like = hello,
        .no_protocol = !hello_offers(hello, SPAN("http/1.1")),
    };
    struct outgoing_target target = target_of(it);
    struct outgoing *outgoing;

    it->state = ORIGIN;
    target.tls = &tls;
    it->claim.on_ready = on_origin_ready;
    it->claim.on_failed = on_origin_failed;
    outgoing = outgoing_claim(it->proxy, &it->claim, &target);
    if (outgoing)
        on_origin_ready(it, outgoing);
}

/* ---- the hello ---- */

/* Which name it is about; false where that is not for us to open. */
static bool settle_name(struct intercept *it)
{
    struct span named = span_text(it->collector.hello.server_name);
    struct judgement judgement;

    if (named.size == 0 || span_equal(named, it->host))
        return true;
    judgement = judgement_of(it, named);
    it->is_stopped |= judgement.is_stopped;
    if (!it->is_literal)
        return false;
    it->name = named;
    return judgement.is_filtered;
}

static bool is_for_us(const struct intercept *it)
{
    const struct hello *hello = &it->collector.hello;
    const struct interception *interception = it->proxy->interception;
    struct choice_question question = question_of(it);
    enum choice_answer answer = choice_ask(interception->choice, &question);

    if (answer != CHOICE_INTERCEPT) {
        log_debug("host=%.*s is passed through: %s", SPAN_PRINT(it->name), choice_word(answer));
        return false;
    }
    return interception_is_ready(interception, it->settings, it->name) && browser_suits(hello) &&
           (hello->protocols.size == 0 || hello_offers(hello, SPAN("http/1.1")));
}

static void on_hello(struct intercept *it)
{
    loop_timer_stop(&it->timer);
    stream_want(&it->session->stream, 0);
    if (!outbox_is_empty(&it->session->outbox)) { // it did not wait for our answer, nor read it
        stop(it, true);
        return;
    }
    if (!settle_name(it) || !is_for_us(it)) {
        pass(it);
    } else if (it->is_stopped || it->is_our_name) {
        it->speaks_http1 = hello_offers(&it->collector.hello, SPAN("http/1.1"));
        want_leaf(it, NULL);
    } else {
        ask_origin(it);
    }
}

static void become_http(struct intercept *it)
{
    struct session *session = it->session;
    struct scope_plan plan = {
        .host = it->host, .to = it->host, .user = it->user, .port = it->port
    };

    scope_free(&session->scope);
    session->scope = scope_new(&plan);
    buffer_release(&session->early);
    session->early = it->collector.kept;
    it->collector.kept = (struct buffer){ 0 };
    access_log_tunnel(it->proxy, &it->note, 0);
    bury(it);
    session_end_tunnel(session);
}

/* After some bytes. */
static void look(struct intercept *it, enum hello_progress progress)
{
    struct span first = buffer_span(&it->collector.kept);

    switch (tunnel_sniff(first)) {
    case FIRST_MORE:
        break;
    case FIRST_OTHER:
        pass(it);
        break;
    case FIRST_HTTP:
        become_http(it);
        break;
    case FIRST_TLS:
        if (progress == HELLO_WHOLE)
            on_hello(it);
        else if (progress == HELLO_BROKEN)
            pass(it);
        break;
    }
}

static void feed(struct intercept *it, struct span bytes)
{
    struct error error;

    if (it->collector.kept.size == 0)
        loop_timer_set(&it->timer, INTERCEPT_HELLO_MS);
    metrics_add(it->proxy->metrics, METRIC_BYTES_FROM_BROWSER, bytes.size);
    look(it, hello_feed(&it->collector, bytes, &error));
}

static void finished_sending(struct intercept *it)
{
    it->session->peer_finished = true;
    if (it->collector.kept.size == 0)
        stop(it, false);
    else
        pass(it);
}

/* ---- events ---- */

static void on_readable(void *owner)
{
    struct intercept *it = owner;
    char *scratch = it->proxy->loop->scratch;
    size_t room = hello_room(&it->collector), got = 0;

    if (it->state != COLLECTING || !it->has_begun)
        return;
    if (room > LOOP_SCRATCH_BYTES)
        room = LOOP_SCRATCH_BYTES;
    assert(room > 0); // when it is full, the hello is whole or broken
    switch (stream_read(&it->session->stream, scratch, room, &got)) {
    case STREAM_OK:
        feed(it, span_of(scratch, got));
        break;
    case STREAM_WAIT:
        break;
    case STREAM_END:
        finished_sending(it);
        break;
    case STREAM_LOST:
        stop(it, true);
        break;
    }
}

static void on_writable(void *owner)
{
    struct intercept *it = owner;
    struct session *session = it->session;

    if (!outbox_flush(&session->outbox)) {
        stop(it, true);
        return;
    }
    if (it->state == COLLECTING && it->has_begun)
        stream_want(&session->stream,
                    STREAM_READ | (outbox_is_empty(&session->outbox) ? 0 : STREAM_WRITE));
}

static const struct stream_events stream_events = { on_readable, on_writable };

static void on_timer(void *owner)
{
    struct intercept *it = owner;

    if (it->state == COLLECTING && tunnel_sniff(buffer_span(&it->collector.kept)) == FIRST_MORE) {
        pass(it); // a silent one, too
        return;
    }
    count(it->proxy, METRIC_TIMEOUTS);
    log_info("host=%.*s %s in time", SPAN_PRINT(it->name),
             it->state == COLLECTING ? "the browser's hello did not end"
             : it->state == LEAF     ? "the signer did not answer"
                                     : "the browser did not end its handshake");
    stop(it, true);
}

/* ---- its beginning ---- */

static struct intercept *intercept_new(struct session *session, const struct intercept_plan *plan)
{
    struct intercept *it = calloc(1, sizeof *it + plan->host.size + plan->user.size);

    if (!it)
        abort(); // out of memory ends the worker; the master starts another
    it->proxy = session->proxy;
    it->session = session;
    it->settings = plan->settings;
    settings_ref(it->settings);
    it->note = plan->note;
    it->port = plan->port;
    it->is_literal = plan->is_literal;
    it->is_rooted = plan->is_rooted;
    it->is_stopped = plan->is_stopped;
    it->is_our_name = plan->is_our_name;
    memcpy(it->text, plan->host.at, plan->host.size);
    it->host = it->name = span_of(it->text, plan->host.size);
    it->user = span_of(it->text + plan->host.size, plan->user.size);
    if (plan->user.size)
        memcpy(it->text + plan->host.size, plan->user.at, plan->user.size);
    it->claim.owner = it;
    hello_collector_init(&it->collector);
    loop_timer_init(&it->timer, it->proxy->loop, on_timer, it);
    return it;
}

/* Reads from here on; first what came behind CONNECT. */
static void begin(void *owner)
{
    struct intercept *it = owner;
    struct session *session = it->session;
    struct buffer early = session->early;

    it->has_begun = true;
    session->early = (struct buffer){ .limit_bytes = early.limit_bytes };
    if (!outbox_flush(&session->outbox)) {
        stop(it, true);
        buffer_release(&early);
        return;
    }
    stream_want(&session->stream,
                STREAM_READ | (outbox_is_empty(&session->outbox) ? 0 : STREAM_WRITE));
    if (early.size > hello_room(&it->collector))
        stop(it, true);
    else if (early.size)
        feed(it, buffer_span(&early));
    else if (session->peer_finished)
        stop(it, false);
    buffer_release(&early);
}

void intercept_start(struct session *session, const struct intercept_plan *plan)
{
    struct intercept *it = intercept_new(session, plan);

    session->intercept = it;
    session->stream.events = &stream_events;
    session->stream.owner = it;
    loop_timer_set(&it->timer, INTERCEPT_SILENCE_MS);
    // The session may be feeding CONNECT just now, from the very buffer for what came early.
    stream_want(&session->stream, outbox_is_empty(&session->outbox) ? 0 : STREAM_WRITE);
    it->begin = (struct loop_task){ .run = begin, .owner = it };
    loop_later(it->proxy->loop, &it->begin);
}
