#include "cli/enrolment.h"

#include <stdio.h>
#include <sysexits.h>

#include "admin/control_line.h"
#include "io/address.h"
#include "proxy/learned.h"

/* An address as it is, a user behind "user:". */
static bool add_client(char line[CONTROL_LINE_BYTES], const char *client)
{
    char word[LEARNED_CLIENT_BYTES + 8];
    struct address address;

    if (span_starts(span_text(client), SPAN("user:")) ||
        address_parse(&address, span_text(client), 0))
        return talk_add_word(line, CONTROL_LINE_BYTES, client);
    snprintf(word, sizeof word, "user:%s", client);
    return talk_add_word(line, CONTROL_LINE_BYTES, word);
}

static bool add_family(char line[CONTROL_LINE_BYTES], const struct enrolment *asked)
{
    return talk_add_word(line, CONTROL_LINE_BYTES, asked->family ? asked->family : "any");
}

int enrolment_enrol(struct talk *talk, const struct enrolment *asked)
{
    char line[CONTROL_LINE_BYTES] = "enrol";
    bool is_good = add_client(line, asked->what) && add_family(line, asked);

    if (asked->time)
        is_good = is_good && talk_add_time(line, sizeof line, asked->time);
    else
        is_good = is_good && talk_add_word(line, sizeof line, "always");
    return is_good ? talk_show(talk, line, EX_DATAERR) : EX_USAGE;
}

int enrolment_unenrol(struct talk *talk, const struct enrolment *asked)
{
    char line[CONTROL_LINE_BYTES] = "unenrol";

    if (!add_client(line, asked->what) || !add_family(line, asked))
        return EX_USAGE;
    return talk_show(talk, line, EX_DATAERR);
}

int enrolment_forget(struct talk *talk, const struct enrolment *asked)
{
    char line[CONTROL_LINE_BYTES] = "forget";

    return talk_add_word(line, sizeof line, asked->what) ? talk_show(talk, line, EX_DATAERR)
                                                         : EX_USAGE;
}

int enrolment_show_enrolled(struct talk *talk, const struct enrolment *asked)
{
    (void)asked;
    return talk_show(talk, "enrolled", EX_DATAERR);
}

int enrolment_show_learned(struct talk *talk, const struct enrolment *asked)
{
    (void)asked;
    return talk_show(talk, "learned", EX_DATAERR);
}
