/*
 * lists.h - which filter lists are in force, with their counts: the report that the compiler of
 * rules leaves in the state directory, read for whoever shows it.
 *
 * The report is ours, yet nothing in it is believed without a look: a line that is not as it
 * should be is passed over. Knows nothing of rules.
 */
#ifndef DEJUNK_ADMIN_LISTS_H
#define DEJUNK_ADMIN_LISTS_H

#include "base/bytes.h"

enum {
    LISTS_MOST = 256,
    LISTS_NAME_BYTES = 128,
    LISTS_REPORT_BYTES = 2 * 1024 * 1024,
};

struct list_figures {
    char name[LISTS_NAME_BYTES]; // controls are '?'
    uint64_t lines;
    uint64_t rules;       // that decide about requests
    uint64_t cosmetic;    // that change pages
    uint64_t unsupported; // known, but nothing is done with them
    uint64_t bad;         // that cannot be read
    uint64_t changed_ms;  // the list's file, since 1970; 0: it is not there
};

struct lists {
    struct list_figures items[LISTS_MOST];
    size_t count;
    uint64_t rules;       // of all
    uint64_t compiled_ms; // since 1970; 0: there is no report
};

/* Name, file, trust and counts of each list, as daemon/rules.h writes them; without the files'
 * times. */
void lists_parse(struct lists *out, struct span report);
/* Reads STATE/rules.txt and looks at the files that it names. */
void lists_read(struct lists *out, const char *state_dir);

#endif
