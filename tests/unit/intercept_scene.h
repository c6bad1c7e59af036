/*
 * intercept_scene.h - for tests: a proxy that opens tunnels, its signer, a browser, and an origin
 * that never says anything; all in this process.
 */
#ifndef DEJUNK_TESTS_INTERCEPT_SCENE_H
#define DEJUNK_TESTS_INTERCEPT_SCENE_H

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/log.h"
#include "certificates.h"
#include "io/address.h"
#include "proxy/intercept.h"
#include "proxy/learned.h"
#include "proxy_config.h"
#include "rules.h"
#include "trust/signer.h"

enum signer_mood { SIGNER_ANSWERS, SIGNER_IS_SILENT, SIGNER_IS_GONE, SIGNER_IS_BUSY };

struct scene {
    struct loop *loop;
    struct proxy *proxy;
    struct metrics metrics;
    struct rules rules;
    struct authority *authority;
    struct buffer chain, root; // PEM
    struct signer signer;
    struct sign_limit limit;
    enum signer_mood mood;
    struct buffer question; // the last, until it is answered
    struct loop_task answer;
    size_t questions;
    int learned; // what was told last; -1: nothing
    int origin;  // listens, on loopback
    uint16_t port;
    int browser; // its end of the connection
    struct buffer got;
    SSL_CTX *context;
    SSL *ssl;
};

static inline void scene_answer(void *owner)
{
    struct scene *scene = owner;
    char reply[SIGN_ANSWER_BYTES];
    enum sign_outcome why;
    size_t size;

    sign_limit_init(&scene->limit, 1, scene->mood == SIGNER_IS_BUSY ? 1 : 2, 0);
    if (scene->mood == SIGNER_IS_BUSY)
        sign_limit_take(&scene->limit, 0);
    assert(signer_answer(&scene->signer, &scene->limit, buffer_span(&scene->question), time(NULL),
                         0, reply, &size, &why, NULL) == ERROR_NONE);
    buffer_release(&scene->question);
    assert(proxy_take_signature(scene->proxy, span_of(reply, size), NULL) == ERROR_NONE);
}

static inline bool scene_ask_signer(void *owner, struct span packet)
{
    struct scene *scene = owner;

    if (scene->mood == SIGNER_IS_GONE)
        return false;
    scene->questions++;
    buffer_release(&scene->question);
    scene->question.limit_bytes = SIGN_REQUEST_BYTES;
    assert(buffer_append(&scene->question, packet));
    if (scene->mood != SIGNER_IS_SILENT)
        loop_later(scene->loop, &scene->answer);
    return true;
}

static inline void scene_tell_learned(void *owner, const struct learned_event *event)
{
    struct scene *scene = owner;

    scene->learned = (int)event->kind;
}

static inline void scene_listen(struct scene *scene)
{
    struct address at;
    socklen_t size = sizeof at;

    assert(address_parse(&at, SPAN("127.0.0.1"), 0));
    scene->origin = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert(bind(scene->origin, &at.any, address_size(&at)) == 0 && listen(scene->origin, 10) == 0);
    assert(getsockname(scene->origin, &at.any, &size) == 0);
    scene->port = address_port(&at);
}

/* Who connects to it from now on is refused. */
static inline void scene_close_origin(struct scene *scene)
{
    close(scene->origin);
    scene->origin = -1;
}

/* With an authority and roots, unless `is_bare`. Every rule is in force from the beginning. */
static inline void scene_open(struct scene *scene, const char *rules, bool is_bare)
{
    const struct authority_plan plan = { .label = SPAN("test"), .now = time(NULL) };
    struct proxy_setup setup = {
        .metrics = &scene->metrics,
        .resolv_conf = SPAN(""),
        .hosts = SPAN("127.0.0.1 ads.test good.test other.test\n"),
        .via_pseudonym = SPAN("test"),
        .seams = { .ask_signer = scene_ask_signer,
                   .tell_learned = scene_tell_learned,
                   .owner = scene },
    };
    struct made other = make_certificate(&(struct recipe)ROOT_RECIPE("roots of origins"));
    struct buffer pem = pem_of(other.certificate);
    const struct proxy_trust trust = { .roots = buffer_span(&pem) };

    memset(scene, 0, sizeof *scene);
    scene->browser = scene->learned = -1;
    scene->answer = (struct loop_task){ .run = scene_answer, .owner = scene };
    assert(loop_new(&scene->loop, NULL) == ERROR_NONE);
    setup.loop = scene->loop;
    assert(config_of(&setup.config,
                     "intercept = all\nlog_level = error\n"
                     "allow_destinations = {\"127.0.0.0/8\"}\nconnect_ports = {\"1-65535\"}\n",
                     NULL) == ERROR_NONE);
    assert(proxy_new(&scene->proxy, &setup, NULL) == ERROR_NONE);
    config_unref(&setup.config);
    rules_open(&scene->rules, rules);
    proxy_use_rules(scene->proxy, scene->rules.database);
    assert(authority_make(&scene->authority, &plan, NULL) == ERROR_NONE);
    scene->signer.authority = scene->authority;
    scene->chain.limit_bytes = scene->root.limit_bytes = 1 << 20;
    authority_chain_pem(scene->authority, &scene->chain);
    authority_root_pem(scene->authority, &scene->root);
    if (!is_bare) {
        assert(proxy_set_trust(scene->proxy, &trust, NULL) == ERROR_NONE);
        assert(proxy_set_authority(scene->proxy, buffer_span(&scene->chain), NULL) == ERROR_NONE);
    }
    buffer_release(&pem);
    free_made(&other);
    scene_listen(scene);
    scene->context = SSL_CTX_new(TLS_client_method());
}

static inline void scene_leave(struct scene *scene)
{
    if (scene->browser >= 0)
        close(scene->browser);
    scene->browser = -1;
    buffer_release(&scene->got);
    SSL_free(scene->ssl);
    scene->ssl = NULL;
}

static inline void scene_close(struct scene *scene)
{
    scene_leave(scene);
    loop_later_cancel(scene->loop, &scene->answer);
    proxy_free(&scene->proxy);
    loop_free(&scene->loop);
    rules_close(&scene->rules);
    authority_free(&scene->authority);
    buffer_release(&scene->question);
    buffer_release(&scene->chain);
    buffer_release(&scene->root);
    if (scene->origin >= 0)
        close(scene->origin);
    SSL_CTX_free(scene->context);
}

static inline uint64_t scene_count(const struct scene *scene, enum metric metric)
{
    return metrics_get(&scene->metrics, metric);
}

static inline void scene_say(const struct scene *scene, struct span bytes)
{
    assert(send(scene->browser, bytes.at, bytes.size, MSG_NOSIGNAL) == (ssize_t)bytes.size);
}

/* Takes what came; false when the connection has ended. */
static inline bool scene_hear(struct scene *scene)
{
    char bytes[16384];

    for (;;) {
        ssize_t got = recv(scene->browser, bytes, sizeof bytes, MSG_DONTWAIT);

        if (got > 0) {
            scene->got.limit_bytes = 1 << 20;
            assert(buffer_append(&scene->got, span_of(bytes, (size_t)got)));
            continue;
        }
        return got < 0 && errno == EAGAIN;
    }
}

/* Did the proxy connect to the origin? */
static inline bool scene_origin_was_asked(const struct scene *scene)
{
    struct pollfd readable = { .fd = scene->origin, .events = POLLIN };

    return poll(&readable, 1, 0) == 1;
}

/* A browser's CONNECT, answered. */
static inline void scene_connect(struct scene *scene, const char *host)
{
    struct address peer;
    struct buffer request = { .limit_bytes = 1000 };
    int ends[2];

    assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    assert(address_parse(&peer, SPAN("127.0.0.1"), 1));
    scene->browser = ends[0];
    buffer_printf(&request, "CONNECT %s:%u HTTP/1.1\r\nHost: %s:%u\r\n\r\n", host, scene->port,
                  host, scene->port);
    scene_say(scene, buffer_span(&request));
    buffer_release(&request);
    session_open(scene->proxy, ends[1], &peer);
}

/* A hello to this host, whose SSL is scene->ssl; free with buffer_release(). */
static inline struct buffer scene_hello(struct scene *scene, const char *host)
{
    struct buffer hello = { .limit_bytes = 1 << 16 };
    char *at;
    long size;

    scene->ssl = SSL_new(scene->context);
    SSL_set_tlsext_host_name(scene->ssl, host);
    SSL_set_bio(scene->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    assert(SSL_connect(scene->ssl) == -1);
    size = BIO_get_mem_data(SSL_get_wbio(scene->ssl), &at);
    assert(buffer_append(&hello, span_of(at, (size_t)size)));
    (void)BIO_reset(SSL_get_wbio(scene->ssl));
    ERR_clear_error();
    return hello;
}

#endif
