/*
 * resolve_files.h - what resolv.conf and hosts say, read from their texts.
 *
 * Knows nothing of files or of asking. A line that cannot be read is passed over, as the C
 * library does it; only a text beyond its limits is an error. Names come out in lower case,
 * without the dot at their end.
 */
#ifndef DEJUNK_IO_RESOLVE_FILES_H
#define DEJUNK_IO_RESOLVE_FILES_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/table.h"
#include "io/address.h"

enum {
    RESOLVE_NAME_BYTES = 253, // of a host name, RFC 1035 section 2.3.4, without the last dot
    RESOLVE_LABEL_BYTES = 63,
    RESOLVE_CONF_BYTES = 64 * 1024,
    RESOLVE_SERVERS = 8, // the rest is passed over, as is what is beyond the next
    RESOLVE_DOMAINS = 16,
    HOSTS_BYTES = 64 * 1024 * 1024,
    HOSTS_LINES = 1000 * 1000,
    HOSTS_ADDRESSES = 16, // of one name and one family; the rest is passed over
};

/* Folds a host name into `to` (RESOLVE_NAME_BYTES + 1, ended with NUL): letters, digits, hyphens
 * and underscores in labels of 1 to 63 bytes, ASCII letters in lower case, one dot at the end
 * dropped. Returns its size, 0 when it is no host name. */
size_t resolve_fold_name(char *to, struct span name);

struct resolve_conf {
    struct address servers[RESOLVE_SERVERS]; // with port, 53 where none is given
    size_t server_count;                     // 0: the text names none
    char domains[RESOLVE_DOMAINS][RESOLVE_NAME_BYTES + 1];
    size_t domain_count;
    unsigned ndots;     // 0 to 15
    unsigned timeout_s; // 1 to 30; 0: not given
    unsigned attempts;  // 1 to 5; 0: not given
    bool rotate;
};

/* nameserver ADDRESS, ADDRESS%SCOPE, IPV4:PORT, [ADDRESS]:PORT; search; domain (the last of both
 * counts); options ndots timeout attempts rotate. ERROR_LIMIT past RESOLVE_CONF_BYTES. */
enum error_kind resolve_conf_parse(struct resolve_conf *out, struct span text, struct error *error);

/* The same text with a number for each scope's name, as far as there is such a link now: a jailed
 * process cannot ask for it. False when it does not fit into the buffer. */
bool resolve_conf_number_scopes(struct buffer *to, struct span text);

struct hosts { // lives inside its owner; resolve_files.c only
    struct arena arena;
    struct table names;
};

/* Reads the text, of which nothing is kept. ERROR_LIMIT past HOSTS_BYTES or HOSTS_LINES; *hosts
 * then needs no hosts_done(). */
enum error_kind hosts_init(struct hosts *hosts, struct span text, struct error *error);
void hosts_done(struct hosts *hosts);
/* The addresses of a folded name, in the order of the lines, port 0; at most `room` of them. */
size_t hosts_find(const struct hosts *hosts, struct span name, struct address *to, size_t room);

#endif
