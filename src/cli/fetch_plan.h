/*
 * fetch_plan.h - what the command line of `dejunk fetch` asks for, as plain data.
 */
#ifndef DEJUNK_CLI_FETCH_PLAN_H
#define DEJUNK_CLI_FETCH_PLAN_H

#include "cli/fetch_file.h"
#include "proxy/fetch.h"

enum fetch_sink { FETCH_TO_FILES, FETCH_TO_OUTPUT, FETCH_TO_NOTHING };

struct fetch_plan {
    struct fetch_limits limits;
    struct fetch_order order; // of every URL, but for what belongs to one
    struct fetch_field fields[FETCH_FIELDS];
    enum fetch_sink sink;
    enum fetch_file_mode mode;
    const char *directory; // as it was given, for messages
    int directory_fd;
    bool in_json, is_quiet, minds_status;
    bool is_through; // a proxy that is asked what it does
};

#endif
