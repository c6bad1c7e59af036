/*
 * Addresses and ranges. What must hold for all bytes: what is taken is what inet_pton() takes, and
 * prints to a text that is taken as the same again; a wrapped address has the class of what is
 * inside, or a stricter one; a range has its own base, with each of its ports and no other.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "io/address.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void check_address(const struct address *address)
{
    struct address again, inside = address_unwrap(address), twice = address_unwrap(&inside);
    char text[ADDRESS_TEXT_BYTES];

    CHECK(address_parse(&again, span_text(address_text(address, text)), address_port(address)));
    CHECK(address_equal(address, &again));
    CHECK(address_parse_with_port(&again, span_text(address_text_with_port(address, text))));
    CHECK(address_equal(address, &again));
    CHECK(address_equal(&inside, &twice) && address_port(&inside) == address_port(address));
    CHECK(address_class_name(address_classify(address)));
    if (address_classify(&inside) != ADDRESS_PUBLIC &&
        address_classify(&inside) != ADDRESS_UNSPECIFIED) // as which a narrower NAT64 form reads
        CHECK(address_classify(address) != ADDRESS_PUBLIC);
}

static void check_range(const struct address_range *range)
{
    struct address base = range->base, inside = address_unwrap(&base);

    CHECK(range->first_port <= range->last_port);
    CHECK(range->prefix_bits <= (base.any.sa_family == AF_INET ? 32 : 128));
    if (!address_equal(&base, &inside))
        return; // a block around wrapped addresses, which are never looked for there
    address_set_port(&base, range->first_port);
    CHECK(address_range_has(range, &base));
    address_set_port(&base, range->last_port);
    CHECK(address_range_has(range, &base));
    address_set_port(&base, (uint16_t)(range->last_port + 1));
    CHECK(range->last_port == UINT16_MAX || !address_range_has(range, &base));
    address_set_port(&base, (uint16_t)(range->first_port - 1));
    CHECK(range->first_port == 0 || !address_range_has(range, &base));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct span text = span_of((const char *)bytes, size);
    struct address address;
    struct address_range range;
    char copy[64];
    uint8_t room[16];

    if (size < sizeof copy && memchr(bytes, 0, size) == NULL && (size == 0 || bytes[0] != '[')) {
        memcpy(copy, bytes, size);
        copy[size] = '\0';
        CHECK(address_parse(&address, text, 80) ==
              (inet_pton(AF_INET, copy, room) == 1 || inet_pton(AF_INET6, copy, room) == 1));
    }
    if (address_parse(&address, text, 80))
        check_address(&address);
    if (address_parse_with_port(&address, text))
        check_address(&address);
    if (address_range_parse(&range, text))
        check_range(&range);
    if (size == 16) { // any IPv6 address at all
        memset(&address, 0, sizeof address);
        address.v6.sin6_family = AF_INET6;
        memcpy(&address.v6.sin6_addr, bytes, 16);
        check_address(&address);
    }
    return 0;
}
