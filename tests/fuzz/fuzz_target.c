/*
 * Request targets. What must hold for all bytes: a target that is taken has a host as the DNS or
 * inet_pton() know it, a port, and an authority which, taken as a target itself, gives the same
 * host and port again. The first byte says the form.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "http/target.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void check_host(const struct target *target)
{
    char text[TARGET_HOST_BYTES + 1];
    struct in6_addr address;

    CHECK(target->host.size > 0 && target->host.size <= TARGET_HOST_BYTES);
    memcpy(text, target->host.at, target->host.size);
    text[target->host.size] = '\0';
    CHECK(strlen(text) == target->host.size);
    CHECK(target->is_literal_v4 == (inet_pton(AF_INET, text, &address) == 1));
    CHECK(target->is_literal_v6 == (inet_pton(AF_INET6, text, &address) == 1));
    for (const char *at = text; *at; at++) {
        CHECK(*at == ascii_lower(*at) && *at > ' ' && *at < 0x7f);
        CHECK(!strchr("/?#@\\%[]", *at));
        CHECK(*at != ':' || target->is_literal_v6);
    }
    CHECK(text[0] != '.' && text[target->host.size - 1] != '.' && !strstr(text, ".."));
}

static void check_path(const struct target *target)
{
    struct span path = target->path_and_query;

    if (!path.at || span_equal(path, SPAN("*")))
        return;
    CHECK(path.at[0] == '/');
    for (size_t i = 0; i < path.size; i++)
        CHECK((unsigned char)path.at[i] > ' ' && path.at[i] != 0x7f && path.at[i] != '#');
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct message message;
    struct target target, again;
    struct arena arena;
    struct error error;
    enum error_kind kind;

    if (size == 0)
        return 0;
    arena_init(&arena, 1 << 16);
    message_init(&message, &arena, true);
    message.target_form = (enum target_form)(bytes[0] & 3);
    message.method = bytes[0] & 4 ? METHOD_OPTIONS : METHOD_GET;
    message.target = span_of((const char *)bytes + 1, size - 1);
    if (message.target_form == TARGET_ORIGIN || message.target_form == TARGET_ASTERISK) {
        message_add(&message, SPAN("Host"), message.target);
        message.target = message.target_form == TARGET_ORIGIN ? SPAN("/x") : SPAN("*");
    }
    kind = target_split(&target, &message, &error);
    if (kind == ERROR_NONE) {
        check_host(&target);
        check_path(&target);
        CHECK(target.port > 0);
        CHECK(target_is_authority(target.authority));
        message.target_form = TARGET_ORIGIN;
        message.target = SPAN("/");
        CHECK(message_set(&message, FIELD_HOST, target.authority));
        CHECK(target_split(&again, &message, NULL) == ERROR_NONE);
        CHECK(span_equal(again.host, target.host));
        CHECK(again.is_rooted == target.is_rooted);
        CHECK(again.port == target.port || !again.has_port);
    } else {
        CHECK(error.kind == kind && error.text[0]);
    }
    arena_done(&arena);
    return 0;
}
