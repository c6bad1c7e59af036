/*
 * settings.h - a config in the types of proxy/: ranges, ports and parents parsed once.
 *
 * Made when a config arrives, shared by reference by everything that began under it, never
 * changed. What only proxy/ can check (addresses, ports, parents' URLs) fails here.
 */
#ifndef DEJUNK_PROXY_SETTINGS_H
#define DEJUNK_PROXY_SETTINGS_H

#include "io/address.h"
#include "state/config.h"

struct port_range {
    uint16_t first, last;
};

enum parent_kind { PARENT_HTTP, PARENT_SOCKS5 };

struct parent {
    enum parent_kind kind;
    struct span name; // for messages
    struct span host; // without brackets
    uint16_t port;
    struct span user, password; // decoded; .at is NULL: none
    struct span authorization;  // PARENT_HTTP: "Basic ..." ready to send; .at is NULL: none
    const struct config_texts *for_hosts, *except_hosts;
    bool asks_why; // what it does to requests, proxy/report.h
};

struct settings {
    unsigned references;
    struct config *config; // referenced
    struct arena arena;
    uint64_t number; // counts up with each new one in this process; part of pool keys

    struct address_range *allow; // clients
    size_t allow_count;
    struct address_range *destinations; // what lifts the refusals
    size_t destination_count;
    struct port_range *connect_ports;
    size_t connect_port_count;
    struct parent *parents;
    size_t parent_count;
};

enum error_kind settings_new(struct settings **out, struct config *config, struct error *error);
void settings_ref(struct settings *settings);
void settings_unref(struct settings **settings);

/* The first parent whose patterns have `host`, or NULL: go there directly. */
const struct parent *settings_parent_for(const struct settings *settings, struct span host);

/* What a client at this address needs. `allow` lets in without a password; where users are
 * configured everybody else says one, loopback too; where none are, loopback may come in. */
enum admission { ADMISSION_REFUSED, ADMISSION_WITH_PASSWORD, ADMISSION_FREE };
enum admission settings_admit(const struct settings *settings, const struct address *client);

/* Shell wildcards, any of them. */
bool texts_match(const struct config_texts *texts, struct span text);

#endif
