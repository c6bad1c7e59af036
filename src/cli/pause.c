/*
 * pause.c - `dejunk pause`: nothing is filtered for a while.
 */
#include <string.h>
#include <sysexits.h>

#include "admin/control_line.h"
#include "cli/commands.h"
#include "cli/talk.h"

#define USUAL_TIME "10m"

static int run(struct options *options)
{
    struct talk talk = { .socket = NULL };
    char line[CONTROL_LINE_BYTES] = "pause";
    const char *client = NULL, *time;
    bool is_good;
    int letter;

    while ((letter = options_next(options)) > 0) {
        if (letter == 'a')
            client = options->value;
        else
            talk_take(&talk, letter, options->value);
    }
    if (letter == OPTIONS_END_NOW || !options_count(options, 0, 1))
        return options->exit_code;
    time = options->argc > 0 ? options->argv[0] : USUAL_TIME;
    is_good = strcmp(time, "off") == 0 ? talk_add_word(line, sizeof line, time)
                                       : talk_add_time(line, sizeof line, time);
    if (!is_good || (client && !talk_add_word(line, sizeof line, client)))
        return EX_USAGE;
    return talk_show(&talk, line, EX_DATAERR);
}

static const struct option_row rows[] = {
    TALK_ROWS,
    { 'a', "client", "ADDRESS", "only for this client" },
    { 0 },
};
const struct command command_pause = {
    .name = "pause",
    .help = "filter nothing for a while",
    .arguments = "[TIME|off]",
    .about = "Without a time for 10 minutes. The pause ends by itself, or by `dejunk pause off`;\n"
             "it is kept when the service is restarted. Host policies pause, too.",
    .options = rows,
    .run = run,
};
