/*
 * The texts of resolv.conf and hosts. What must hold for all bytes: what comes out is within the
 * limits, names are folded, and each name of a hosts text is found with an address that stands in
 * its line. The first byte says which text it is.
 */
#include <stdio.h>
#include <stdlib.h>

#include "io/resolve_files.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void check_name(const char *name)
{
    char again[RESOLVE_NAME_BYTES + 1];

    CHECK(resolve_fold_name(again, span_text(name)) == strlen(name));
    CHECK(strcmp(again, name) == 0);
}

static void check_conf(struct span text)
{
    struct resolve_conf conf;

    if (resolve_conf_parse(&conf, text, NULL) != ERROR_NONE)
        return;
    CHECK(conf.server_count <= RESOLVE_SERVERS && conf.domain_count <= RESOLVE_DOMAINS);
    CHECK(conf.ndots <= 15 && conf.timeout_s <= 30 && conf.attempts <= 5);
    for (size_t i = 0; i < conf.server_count; i++)
        CHECK(address_port(&conf.servers[i]) > 0);
    for (size_t i = 0; i < conf.domain_count; i++)
        check_name(conf.domains[i]);
}

/* Looks for every word behind the first one of its line. */
static void check_hosts(struct span text)
{
    struct hosts hosts;
    struct address found[2 * HOSTS_ADDRESSES + 1];
    char name[RESOLVE_NAME_BYTES + 1];
    size_t line_end;

    CHECK(hosts_init(&hosts, text, NULL) == ERROR_NONE);
    for (; text.size > 0; text = span_from(text, line_end + (line_end < text.size))) {
        struct span line;
        bool has_address = false, is_first = true;
        struct address address;

        line_end = span_find_byte(text, '\n');
        line = span_slice(text, 0, line_end);
        line.size = span_find_byte(line, '#');
        while (line.size > 0) {
            struct span word = { line.at, 0 };
            while (word.size < line.size && !strchr(" \t\r\f\v", line.at[word.size]))
                word.size++; // a NUL ends a word here, and makes it no name there
            if (word.size < line.size && line.at[word.size] == '\0')
                break;
            line = span_from(line, word.size + (word.size < line.size));
            if (word.size == 0)
                continue;
            if (is_first) {
                has_address = address_parse(&address, word, 0) && word.at[0] != '[';
            } else if (has_address) {
                size_t size = resolve_fold_name(name, word), count;
                count =
                    size ? hosts_find(&hosts, span_of(name, size), found, 2 * HOSTS_ADDRESSES + 1)
                         : 1;
                CHECK(count > 0 && count <= 2 * HOSTS_ADDRESSES);
            }
            is_first = false;
        }
    }
    hosts_done(&hosts);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size > 0 && bytes[0] & 1)
        check_hosts(span_of((const char *)bytes + 1, size - 1));
    else if (size > 0)
        check_conf(span_of((const char *)bytes + 1, size - 1));
    return 0;
}
