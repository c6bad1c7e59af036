/*
 * Answers of name servers to the question for a.example. What must hold for all bytes: counts
 * within the limits, addresses of the family asked for, folded aliases, addresses only where some
 * were found. The first byte says the family; the head and the question are made right, so that
 * the records are reached.
 */
#include <stdio.h>
#include <stdlib.h>

#include "io/dns.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void check(struct span packet, bool want_v6)
{
    struct dns_reply reply;
    char again[RESOLVE_NAME_BYTES + 1];

    dns_parse(&reply, packet, "a.example", want_v6);
    CHECK(reply.outcome <= DNS_FAILED);
    CHECK(reply.count <= DNS_ADDRESSES && reply.alias_count <= DNS_ALIASES);
    CHECK((reply.outcome != DNS_FOUND) || reply.count > 0);
    CHECK(reply.ttl_s <= 0x7fffffff);
    for (size_t i = 0; i < reply.count; i++)
        CHECK(reply.addresses[i].any.sa_family == (want_v6 ? AF_INET6 : AF_INET));
    for (size_t i = 0; i < reply.alias_count; i++)
        CHECK(resolve_fold_name(again, span_text(reply.aliases[i])) == strlen(again) &&
              strcmp(again, reply.aliases[i]) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char question[] = "\1a\7example\0\0\1\0";
    bool want_v6;
    char *packet;

    if (size < 1)
        return 0;
    want_v6 = bytes[0] & 1;
    check(span_of((const char *)bytes + 1, size - 1), want_v6);
    if (size < 14)
        return 0;
    packet = malloc(size + sizeof question);
    if (!packet)
        abort();
    memcpy(packet, bytes + 1, 12);
    packet[2] = (char)(packet[2] | 0x80);
    packet[4] = 0;
    packet[5] = 1;
    memcpy(packet + 12, question, sizeof question);
    packet[12 + 12] = want_v6 ? 28 : 1;
    packet[12 + 14] = 1;
    memcpy(packet + 12 + 15, bytes + 13, size - 13);
    check(span_of(packet, 12 + 15 + size - 13), want_v6);
    free(packet);
    return 0;
}
