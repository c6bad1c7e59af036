#include "proxy/proxy.h"

#include <assert.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "io/listener.h"
#include "proxy/access_log.h"
#include "proxy/auth.h"
#include "proxy/context.h"
#include "proxy/exchange.h"
#include "proxy/interception.h"
#include "proxy/judge.h"
#include "proxy/outgoing.h"
#include "proxy/passes.h"
#include "proxy/session.h"

struct proxy_listener {
    struct proxy *proxy;
    struct acceptor acceptor;
    int fd;
    struct address address;
    struct proxy_listener *next;
};

/* ---- accepting ---- */

static void on_accepted(void *owner, int fd, const struct address *peer)
{
    struct proxy_listener *listener = owner;

    session_open(listener->proxy, fd, peer);
}

/* The oldest idle outgoing connection, else the oldest idle browser connection. */
static bool spare_descriptor(void *owner)
{
    struct proxy *proxy = owner;

    return outgoing_spare_one(proxy) || session_spare_one(proxy);
}

static void on_exhausted(void *owner)
{
    struct proxy_listener *listener = owner;

    count(listener->proxy, METRIC_DESCRIPTORS_SHORT);
    if (spare_descriptor(listener->proxy))
        acceptor_resume(&listener->acceptor);
}

static const struct acceptor_events acceptor_events = { on_accepted, on_exhausted };

/* Of a listening socket; what it accepts inherits both: what a browser may send before we read it,
 * and what the kernel holds of what we sent because a browser reads slowly. */
static void bound_buffers(int fd)
{
    int window = WINDOW_BYTES, unsent = UNSENT_BYTES;

    // Not on a unix socket, where they mean nothing and fail.
    (void)setsockopt(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, &window, sizeof window);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
}

/* Where no request may lead. */
static void note_own(struct proxy *proxy)
{
    proxy->own_count = 0;
    for (const struct proxy_listener *listener = proxy->listeners; listener;
         listener = listener->next) {
        assert(proxy->own_count < OWN_ADDRESSES); // a worker has no more listeners
        proxy->own[proxy->own_count++] = listener->address;
    }
}

enum error_kind proxy_listen(struct proxy *proxy, int fd, struct error *error)
{
    struct proxy_listener *listener = calloc(1, sizeof *listener);
    socklen_t size = sizeof listener->address;

    if (!listener)
        abort(); // out of memory ends the worker; the master starts another
    if (getsockname(fd, &listener->address.any, &size) < 0) {
        free(listener);
        return error_errno(error, ERROR_SYSTEM, "a listening socket has no address");
    }
    bound_buffers(fd);
    listener->proxy = proxy;
    listener->fd = fd;
    listener->next = proxy->listeners;
    proxy->listeners = listener;
    note_own(proxy);
    acceptor_start(&listener->acceptor, proxy->loop, fd, &acceptor_events, listener, 0);
    return ERROR_NONE;
}

static void stop_listening(struct proxy *proxy, int fd)
{
    struct proxy_listener **link = &proxy->listeners;

    while (*link) {
        struct proxy_listener *listener = *link;
        if (fd >= 0 && listener->fd != fd) {
            link = &listener->next;
            continue;
        }
        *link = listener->next;
        if (!proxy->is_draining)
            acceptor_empty(&listener->acceptor);
        acceptor_stop(&listener->acceptor);
        free(listener);
    }
}

void proxy_unlisten(struct proxy *proxy, int fd)
{
    if (fd < 0)
        return;
    stop_listening(proxy, fd);
    note_own(proxy);
}

/* ---- life ---- */

static void on_drain_over(void *owner);
static void on_drained(void *owner);

enum error_kind proxy_new(struct proxy **out, const struct proxy_setup *setup, struct error *error)
{
    struct proxy *proxy = calloc(1, sizeof *proxy);
    enum error_kind kind;
    char *via;

    if (!proxy)
        abort(); // out of memory ends the worker; the master starts another
    proxy->loop = setup->loop;
    proxy->metrics = setup->metrics;
    proxy->seams = setup->seams;
    proxy->stubs = setup->stubs;
    proxy->visit_secret = setup->visit_secret;
    if (setup->site_secret)
        memcpy(proxy->secret.key, setup->site_secret, SECRET_KEY_BYTES);
    else
        random_bytes(proxy->secret.key, SECRET_KEY_BYTES);
    kind = settings_new(&proxy->settings, setup->config, error);
    if (kind) {
        free(proxy);
        return kind;
    }
    via = malloc(4 + setup->via_pseudonym.size);
    if (!via)
        abort(); // out of memory ends the worker; the master starts another
    memcpy(via, "1.1 ", 4);
    memcpy(via + 4, setup->via_pseudonym.at, setup->via_pseudonym.size);
    proxy->via = span_of(via, 4 + setup->via_pseudonym.size);
    proxy->pseudonym = span_from(proxy->via, 4);

    proxy->coding_memory.limit_bytes = setup->config->edit_memory_mb * 1024 * 1024;
    outbox_stage_init(&proxy->stage);
    pipes_init(&proxy->pipes);
    table_init(&proxy->clients);
    table_init(&proxy->origins);
    gate_init(&proxy->total_gate, proxy->loop, setup->config->connections_total);
    loop_timer_init(&proxy->drain_timer, proxy->loop, on_drain_over, proxy);
    proxy->drained.run = on_drained;
    proxy->drained.owner = proxy;
    proxy->passes = passes_new();
    proxy->access_clock = access_clock_new();
    proxy->loop->spare = spare_descriptor;
    proxy->loop->spare_owner = proxy;
    proxy->judge = judge_new(proxy->loop, proxy->passes);
    judge_set_secret(proxy->judge, &proxy->secret);
    kind = resolver_new(&proxy->resolver, proxy->loop, error);
    if (!kind)
        kind = resolver_configure(proxy->resolver, setup->resolv_conf, setup->hosts, error);
    if (!kind)
        kind = origin_tls_new(&proxy->origin_tls, error);
    if (!kind)
        kind = interception_new(&proxy->interception, proxy, error);
    if (kind) {
        proxy_free(&proxy);
        return kind;
    }
    auth_start(proxy);
    *out = proxy;
    return ERROR_NONE;
}

static void close_sessions(struct proxy *proxy)
{
    while (proxy->busy_sessions.first)
        session_close(proxy->busy_sessions.first, true);
    while (proxy->idle_sessions.first)
        session_close(proxy->idle_sessions.first, false);
}

void proxy_free(struct proxy **pointer)
{
    struct proxy *proxy = *pointer;

    *pointer = NULL;
    if (!proxy)
        return;
    proxy->is_draining = true; // nothing goes back to a pool
    proxy->loop->spare = NULL;
    proxy->on_drained = NULL;
    stop_listening(proxy, -1);
    close_sessions(proxy);
    outgoing_close_idle(proxy);
    loop_timer_stop(&proxy->drain_timer);
    loop_later_cancel(proxy->loop, &proxy->drained);
    auth_stop(proxy);
    loop_dig(proxy->loop);
    exchange_free_all(proxy);
    interception_free(&proxy->interception);
    origin_tls_free(&proxy->origin_tls);
    judge_free(&proxy->judge);
    passes_free(&proxy->passes);
    free(proxy->access_clock);
    gate_done(&proxy->total_gate);
    resolver_free(&proxy->resolver);
    table_done(&proxy->origins);
    table_done(&proxy->clients);
    pipes_done(&proxy->pipes);
    outbox_stage_done(&proxy->stage);
    settings_unref(&proxy->settings);
    free((char *)proxy->via.at);
    free(proxy);
}

/* ---- changes ---- */

enum error_kind proxy_configure(struct proxy *proxy, struct config *config, struct error *error)
{
    struct settings *settings;
    enum error_kind kind = settings_new(&settings, config, error);

    if (kind)
        return kind;
    settings_unref(&proxy->settings);
    proxy->settings = settings;
    proxy->coding_memory.limit_bytes = config->edit_memory_mb * 1024 * 1024;
    gate_set_places(&proxy->total_gate, config->connections_total);
    outgoing_close_idle(proxy); // opened under the old policy
    return ERROR_NONE;
}

enum error_kind proxy_check_config(struct config *config, struct error *error)
{
    struct settings *settings;
    enum error_kind kind = settings_new(&settings, config, error);

    if (!kind)
        settings_unref(&settings);
    return kind;
}

void proxy_use_rules(struct proxy *proxy, struct database *database)
{
    judge_use(proxy->judge, database);
}

void proxy_set_passes(struct proxy *proxy, const struct proxy_passes *passes)
{
    passes_set(proxy->passes, passes);
}

void proxy_set_followed(struct proxy *proxy, bool is_followed)
{
    proxy->is_followed = is_followed;
}

void proxy_configure_names(struct proxy *proxy, struct span resolv_conf, struct span hosts)
{
    struct error error;

    if (resolver_configure(proxy->resolver, resolv_conf, hosts, &error))
        log_error("name servers: %s", error.text);
}

/* ---- the end of service ---- */

static void on_drained(void *owner)
{
    struct proxy *proxy = owner;
    void (*tell)(void *) = proxy->on_drained;

    proxy->on_drained = NULL;
    loop_timer_stop(&proxy->drain_timer);
    if (tell)
        tell(proxy->drain_owner);
}

void proxy_note_end(struct proxy *proxy)
{
    if (proxy->is_draining && proxy->on_drained && !proxy->busy_sessions.count &&
        !proxy->idle_sessions.count)
        loop_later(proxy->loop, &proxy->drained);
}

static void on_drain_over(void *owner)
{
    struct proxy *proxy = owner;

    log_notice("cut %zu connections that did not end in time", proxy->busy_sessions.count);
    close_sessions(proxy);
    proxy_note_end(proxy);
}

void proxy_drain(struct proxy *proxy, int64_t within_ms, void (*on_drained_by)(void *owner),
                 void *owner)
{
    proxy->on_drained = on_drained_by;
    proxy->drain_owner = owner;
    if (!proxy->is_draining) {
        proxy->is_draining = true;
        stop_listening(proxy, -1);
        session_end_idle(proxy);
        outgoing_close_idle(proxy);
    }
    if (within_ms == PROXY_DRAIN_FOREVER)
        loop_timer_stop(&proxy->drain_timer);
    else
        loop_timer_set(&proxy->drain_timer, within_ms > 0 ? (uint64_t)within_ms : 1);
    proxy_note_end(proxy);
}
