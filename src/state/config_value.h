/*
 * config_value.h - the texts that options take: is it a duration, a range of ports, a wildcard?
 *
 * Text in, yes or no and a value out. Knows nothing of options, files or lines, and turns no
 * address into anything: the rooms above do that with their own types.
 */
#ifndef DEJUNK_STATE_CONFIG_VALUE_H
#define DEJUNK_STATE_CONFIG_VALUE_H

#include "base/bytes.h"

enum {
    CONFIG_TEXT_BYTES = 255, // titles, realms, wildcards
    CONFIG_PATH_BYTES = 4095,
};

/* yes no true false on off, without case. */
bool config_read_switch(struct span text, bool *out);
/* "250 ms", "10s", "5m", "1h", "2d"; a bare number is seconds. Whole numbers only. */
bool config_read_duration(struct span text, uint64_t *out_ms);
/* The shortest way to write it, as "10s"; returns `to`. */
enum { CONFIG_DURATION_BYTES = 24 };
const char *config_write_duration(uint64_t ms, char *to);

/* "127.0.0.1:8119", "[::1]:8119". Port 0 is good: any free one. */
bool config_is_listener(struct span text, bool *is_loopback);
/* "10.0.0.0/8", "192.168.1.7", "fd00::/8". */
bool config_is_block(struct span text);
/* A block with or without ports: "127.0.0.0/8:18080", "127.0.0.1:18501-18550", "[fd00::]/8:443",
 * "::1". With ports, IPv6 stands in brackets. */
bool config_is_destination(struct span text);
/* "443", "8000-8999". */
bool config_is_ports(struct span text);
/* A pattern for host names in ASCII, with `*` and `?`. */
bool config_is_wildcard(struct span text);
/* http://[user:pass@]host:port or socks5://..., nothing behind the port. */
bool config_is_parent(struct span text);
/* Absolute, no NUL, at most CONFIG_PATH_BYTES. */
bool config_is_path(struct span text);
/* Printable ASCII without quotes and backslashes. */
bool config_is_plain_text(struct span text);
/* As in Basic authentication: no colon, no controls. */
bool config_is_user_name(struct span text);
/* A whole crypt(5) hash, of a method that is not known to be weak. */
bool config_is_password_hash(struct span text);

#endif
