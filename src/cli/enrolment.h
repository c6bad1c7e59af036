/*
 * enrolment.h - the actions of `dejunk ca` that the running service carries out.
 *
 * Each says one line to its control socket (admin/control_line.h) and shows the answer.
 */
#ifndef DEJUNK_CLI_ENROLMENT_H
#define DEJUNK_CLI_ENROLMENT_H

#include "cli/talk.h"

struct enrolment {      // what was asked on the command line
    const char *what;   // a client, or a host; NULL: none
    const char *family; // NULL: any
    const char *time;   // as "30d"; NULL: for good
};

/* Each returns the exit code. */
int enrolment_enrol(struct talk *talk, const struct enrolment *asked);
int enrolment_unenrol(struct talk *talk, const struct enrolment *asked);
int enrolment_forget(struct talk *talk, const struct enrolment *asked);
int enrolment_show_enrolled(struct talk *talk, const struct enrolment *asked);
int enrolment_show_learned(struct talk *talk, const struct enrolment *asked);

#endif
