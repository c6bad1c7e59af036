/*
 * config.h - what proxy.conf and its drop-ins say, checked, as plain data.
 *
 * Files are read by whoever may (config_sources.h); parsing works on the texts alone
 * (config_parse), so that the master can hand them to a jailed worker, which parses the same
 * bytes to the same config. A config never changes; a reload makes a new one and holders of the old
 * one keep it by reference. Every check knows its file and line. Knows nothing of sockets:
 * addresses and ranges are kept as checked text, the rooms above turn them into their own types.
 */
#ifndef DEJUNK_STATE_CONFIG_H
#define DEJUNK_STATE_CONFIG_H

#include "base/arena.h"
#include "base/error.h"
#include "base/log.h"
#include "state/config_sources.h"

enum { CONFIG_LIST_ENTRIES = 10000 }; // at most in one list, and sections of one kind

struct config_texts { // a list of strings
    struct span *items;
    size_t count;
};

struct config_parent {
    struct span name;
    struct span url;               // http://[user:pass@]host:port or socks5://...
    struct config_texts for_hosts; // wildcards; empty: all
    struct config_texts except_hosts;
    bool asks_why; // no option: a dejunk is asked what it does (proxy/report.h)
};

struct config_user {
    struct span name;
    struct span password_hash; // crypt(5)
};

struct config_list {
    struct span name;
    struct span file;
    bool trusted;
    bool enabled;
};

enum policy_answer { POLICY_ACCEPT, POLICY_REJECT };

struct config_policy {                  // one of the three: connect, image, cookie
    struct config_texts reject, accept; // shell wildcards on the host
    enum policy_answer otherwise;
};

enum config_switch { SWITCH_UNSET, SWITCH_NO, SWITCH_YES };

enum config_strip { STRIP_HIDE, STRIP_HOLLOW, STRIP_REMOVE };
enum config_site_strip { SITE_STRIP_SAME, SITE_STRIP_HIDE, SITE_STRIP_HOLLOW, SITE_STRIP_REMOVE };

struct config_site {     // site "*.bank.example" { ... }
    struct span pattern; // shell wildcard on the host
    enum config_switch filter;
    enum config_switch intercept;
    enum config_switch gpc;
    struct config_texts extra_ca; // paths, as config.extra_ca
    enum config_site_strip strip;
    enum config_switch remove_blocked;
};

struct config_client { // client "192.168.1.0/24" { ... }
    struct span match; // address, CIDR block or user name
    enum config_switch filter;
    enum config_switch intercept;
    enum config_switch gpc;
};

struct config_ca {                // ca { ... }: a company's own authority
    struct span certificate, key; // paths, both or neither; empty: one is made here
};

enum intercept_mode { INTERCEPT_ENROLLED, INTERCEPT_ALL, INTERCEPT_NONE };

enum recode { RECODE_NONE, RECODE_GZIP, RECODE_ZSTD };
enum access_log_format { ACCESS_LOG_OFF, ACCESS_LOG_COMBINED, ACCESS_LOG_JSON };

struct config {
    unsigned references;
    struct arena arena; // everything below points into it

    // who may come in
    struct config_texts listen; // "127.0.0.1:8119", "[::1]:8119"
    struct config_texts allow;  // address ranges of clients that need no password
    struct config_user *users;
    size_t user_count;
    struct span auth_realm;
    size_t client_connections; // per client address, each worker; loopback exempt
    bool reuse_port;

    // where a request may go
    struct config_texts connect_ports;      // "443", "8000-8999"
    struct config_texts allow_destinations; // "127.0.0.0/8:18080": lifts the refusals
    struct config_texts private_names; // wildcards of public names that may be private addresses
    struct config_parent *parents;
    size_t parent_count;

    // relaying
    bool via;
    size_t workers;                // 0: as many as CPUs
    size_t connections_per_origin; // per worker, as are the next three
    size_t connections_total;
    size_t idle_per_origin;
    size_t idle_total;
    uint64_t connect_timeout_ms;        // resolve, connect and parent's handshake
    uint64_t request_header_timeout_ms; // absolute
    uint64_t response_header_timeout_ms;
    uint64_t idle_body_timeout_ms;
    uint64_t keep_alive_timeout_ms;  // browser side
    uint64_t pool_idle_timeout_ms;   // outgoing side
    uint64_t tunnel_idle_timeout_ms; // tunnels, WebSockets, event streams
    uint64_t drain_ms;

    // https
    enum intercept_mode intercept;
    struct config_texts extra_ca; // paths of PEM files: whom to trust besides the system's roots
    struct span no_intercept;     // path of the list of hosts that are never opened; empty: ours
    size_t leaf_rate_per_s;       // certificates for each worker; 0: no limit
    size_t leaf_burst;            // at once, when none were asked for before
    struct config_ca ca;

    // files and logs
    struct span resolv_conf, hosts_file; // paths
    struct span state_dir, runtime_dir;  // paths; empty: config_default_dir()
    enum log_level log_level;
    enum access_log_format access_log;
    struct span access_log_file; // empty: standard output

    // filtering
    bool filter;
    bool gpc;
    enum config_strip strip;
    bool remove_blocked;
    struct config_list *lists;
    size_t list_count;
    struct span rules_dir;        // path; empty: config_default_dir()
    struct span unfiltered_hosts; // path of the list of captive-portal hosts; empty: ours
    struct config_policy connect_policy, image_policy, cookie_policy;
    enum recode recode;
    size_t edit_size_mb, edit_held_kb; // of one response
    uint64_t edit_time_ms;
    size_t edit_memory_mb; // of a worker
    struct config_site *sites;
    size_t site_count;
    struct config_client *clients;
    size_t client_count;
};

/* ERROR_CONFIG with "FILE:LINE: reason" (the nearest known name for an unknown key) and nothing
 * made; or a config with one reference. */
enum error_kind config_parse(struct config **out, const struct config_sources *sources,
                             struct error *error);
void config_ref(struct config *config);
void config_unref(struct config **config);

#endif
