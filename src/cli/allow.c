/*
 * allow.c - `dejunk allow`: a host is not filtered, for a while or for good.
 */
#include <sysexits.h>

#include "admin/control_line.h"
#include "cli/commands.h"
#include "cli/say.h"
#include "cli/talk.h"

static int run(struct options *options)
{
    struct talk talk = { .socket = NULL };
    char line[CONTROL_LINE_BYTES] = "allow";
    const char *client = NULL, *time = NULL;
    bool is_off = false, is_good;
    int letter;

    while ((letter = options_next(options)) > 0) {
        if (letter == 'a')
            client = options->value;
        else if (letter == 'f')
            time = options->value;
        else if (letter == 'o')
            is_off = true;
        else
            talk_take(&talk, letter, options->value);
    }
    if (letter == OPTIONS_END_NOW || !options_count(options, 1, 1))
        return options->exit_code;
    if (is_off && time) {
        say_error("--for and --off do not go together");
        return EX_USAGE;
    }
    is_good = talk_add_word(line, sizeof line, options->argv[0]);
    if (time)
        is_good = is_good && talk_add_time(line, sizeof line, time);
    else
        is_good = is_good && talk_add_word(line, sizeof line, is_off ? "off" : "always");
    if (!is_good || (client && !talk_add_word(line, sizeof line, client)))
        return EX_USAGE;
    return talk_show(&talk, line, EX_DATAERR);
}

static const struct option_row rows[] = {
    TALK_ROWS,
    { 'f', "for", "TIME", "end after this, such as 10m or 2h" },
    { 'o', "off", NULL, "take the pass back" },
    { 'a', "client", "ADDRESS", "only for this client" },
    { 0 },
};
const struct command command_allow = {
    .name = "allow",
    .help = "let a host and what its pages load through unfiltered",
    .arguments = "HOST",
    .about = "The host, all hosts below it, and everything that their pages load. Without --for\n"
             "it is for good; either way it is kept when the service is restarted.",
    .options = rows,
    .run = run,
};
