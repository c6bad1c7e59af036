/*
 * connect_probe.c - connects once, as the proxy would, and says how it went.
 *
 *     connect_probe HOSTS HOST PORT TIMEOUT_MS
 *
 * HOSTS is a text like /etc/hosts, in which HOST is looked up (no name server is asked). Prints
 * "ADDRESS MS", the address that won and after how long, or "KIND MS TEXT" of the failure.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "io/connect.h"

struct probe {
    struct connector connector; // first
    struct loop *loop;
    uint64_t began_ms;
};

static bool may_connect(void *owner, const struct address *address,
                        const struct resolve_answer *answer, struct error *error)
{
    (void)owner, (void)address, (void)answer, (void)error;
    return true;
}

static void on_connected(void *owner, int fd, const struct address *address,
                         const struct error *error)
{
    struct probe *probe = owner;
    uint64_t took_ms = loop_now_ms(probe->loop) - probe->began_ms;
    char text[ADDRESS_TEXT_BYTES];

    if (fd >= 0) {
        printf("%s %" PRIu64 "\n", address_text(address, text), took_ms);
        close(fd);
    } else {
        printf("%s %" PRIu64 " %s\n", error_kind_name(error->kind), took_ms, error->text);
    }
    loop_stop(probe->loop);
}

int main(int argc, char **argv)
{
    struct probe probe = {
        .connector = { .may_connect = may_connect, .on_connected = on_connected, .owner = &probe }
    };
    struct resolver *resolver;
    uint64_t port, timeout_ms;

    if (argc != 5 || !span_to_u64(span_text(argv[3]), &port) || port > UINT16_MAX ||
        !span_to_u64(span_text(argv[4]), &timeout_ms)) {
        fprintf(stderr, "usage: connect_probe HOSTS HOST PORT TIMEOUT_MS\n");
        return 64;
    }
    if (loop_new(&probe.loop, NULL) != ERROR_NONE ||
        resolver_new(&resolver, probe.loop, NULL) != ERROR_NONE ||
        resolver_configure(resolver, SPAN_NONE, span_text(argv[1]), NULL) != ERROR_NONE)
        return 1;
    probe.began_ms = loop_now_ms(probe.loop);
    connector_start(&probe.connector, probe.loop, resolver, span_text(argv[2]), (uint16_t)port,
                    timeout_ms);
    loop_run(probe.loop);
    resolver_free(&resolver);
    loop_free(&probe.loop);
    return 0;
}
