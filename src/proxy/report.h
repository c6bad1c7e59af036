/*
 * report.h - what was done to a request and its answer, told to whoever asks on this machine.
 *
 * A client at loopback that sends REPORT_ASK gets one more field, REPORT_FIELD, in the answer:
 *
 *     Proxy-Dejunk: passed
 *     Proxy-Dejunk: blocked; by="||ads.example^ (easylist, line 7)"
 *     Proxy-Dejunk: changed; url="/x"; request-headers="Referer"; headers="Set-Cookie, Refresh"
 *
 * No page can ask: browsers let no script set fields whose names begin with Proxy- (Fetch, section
 * 2.2.2). Neither field is passed on, in either direction, whoever sends it.
 */
#ifndef DEJUNK_PROXY_REPORT_H
#define DEJUNK_PROXY_REPORT_H

#include "http/message.h"
#include "io/address.h"

#define REPORT_ASK SPAN("Proxy-Dejunk-Explain")
#define REPORT_FIELD SPAN("Proxy-Dejunk")

enum { REPORT_BYTES = 4096 }; // what does not fit is left out

struct report { // lives inside an exchange, zeroed; its text in the exchange's arena
    bool is_wanted;
    struct span changes; // "; name=..." for each; may be empty
};

/* Takes the question out of a request, and says in *report whether there was one from here. */
void report_begin(struct report *report, struct message *request, const struct address *client);
/* Notes the fields of `message` that are dropped now, under "headers" or "request-headers". */
void report_note_dropped(struct report *report, struct arena *arena, const struct message *message);
/* Notes a change in words: name="value". */
void report_note(struct report *report, struct arena *arena, const char *name, struct span value);
/* The value of REPORT_FIELD, in the arena; `blocked_by` .at NULL: it was not blocked. .at is NULL
 * when nobody asked. */
struct span report_value(const struct report *report, struct arena *arena, struct span blocked_by);
/* Takes out what an origin says in our name. */
void report_strip(struct message *response);

#endif
