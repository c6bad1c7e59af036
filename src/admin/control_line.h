/*
 * control_line.h - one line of the control socket: what is asked for, checked.
 *
 *     status [json]
 *     reload
 *     log
 *     pause MS|off [CLIENT]
 *     allow HOST MS|always|off [CLIENT]
 *     enrolled                              shown, as is what was learned
 *     learned
 *     enrol CLIENT FAMILY|any MS|always
 *     unenrol CLIENT FAMILY|any
 *     forget HOST
 *
 * MS is how long from now. Knows nothing of sockets.
 */
#ifndef DEJUNK_ADMIN_CONTROL_LINE_H
#define DEJUNK_ADMIN_CONTROL_LINE_H

#include "base/bytes.h"
#include "base/error.h"

enum { CONTROL_LINE_BYTES = 512 };
#define CONTROL_LONGEST_MS (UINT64_C(366) * 24 * 60 * 60 * 1000)
#define CONTROL_ALWAYS_MS UINT64_MAX

enum control_verb {
    CONTROL_STATUS,
    CONTROL_RELOAD,
    CONTROL_LOG,
    CONTROL_PAUSE,
    CONTROL_ALLOW,
    CONTROL_ENROLLED,
    CONTROL_LEARNED,
    CONTROL_ENROL,
    CONTROL_UNENROL,
    CONTROL_FORGET,
};

struct control_request { // spans into the line
    enum control_verb verb;
    bool wants_json;
    struct span host, client; // empty: not given
    uint64_t for_ms;          // 0: off; CONTROL_ALWAYS_MS
    uint64_t family;          // 0: any
};

/* `line` is without its line feed. ERROR_SYNTAX, ERROR_LIMIT. */
enum error_kind control_parse(struct control_request *out, struct span line, struct error *error);

#endif
