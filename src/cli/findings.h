/*
 * findings.h - all that a rule database says to one request, for people and programs to read.
 *
 * Asks the matcher what a proxy would ask before it connects: the verdict, exceptions for the page
 * that asks, what is changed on the way; and every rule that matches, whether it matters or not.
 * What only an answer or an address would tell (`header=`, `ipaddress=`) is not known here.
 */
#ifndef DEJUNK_CLI_FINDINGS_H
#define DEJUNK_CLI_FINDINGS_H

#include "filter/match.h"

struct findings; // opaque

enum outcome { OUTCOME_ALLOWED, OUTCOME_BLOCKED, OUTCOME_MODIFIED };

/* Asks everything at once. Database and request are borrowed for the findings' life. */
struct findings *findings_new(struct database *database, const struct request *request);
void findings_free(struct findings **findings);

enum outcome findings_outcome(const struct findings *findings);

/* To standard output: a few paragraphs, or one line with a JSON object. */
void findings_show_text(const struct findings *findings);
void findings_show_json(const struct findings *findings);

#endif
