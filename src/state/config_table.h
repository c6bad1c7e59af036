/*
 * config_table.h - every option there is: name, kind, range, default, meaning; and where it goes.
 *
 * The facts stand here once. The parser stores by them, proxy.conf.example and proxy.conf(5) are
 * written from them, and a test holds those to it. Tables never change.
 */
#ifndef DEJUNK_STATE_CONFIG_TABLE_H
#define DEJUNK_STATE_CONFIG_TABLE_H

#include "base/bytes.h"

enum config_kind {
    CONFIG_SWITCH,     // bool
    CONFIG_OVERRIDE,   // enum config_switch: a switch that may be left unset
    CONFIG_COUNT,      // size_t
    CONFIG_DURATION,   // uint64_t, in ms
    CONFIG_CHOICE,     // an enum; the index of one of `choices`
    CONFIG_PLAIN_TEXT, // struct span, as are all below; in lists, struct config_texts
    CONFIG_PATH,
    CONFIG_LISTENER,
    CONFIG_BLOCK,
    CONFIG_DESTINATION,
    CONFIG_PORTS,
    CONFIG_WILDCARD,
    CONFIG_PARENT,
    CONFIG_PASSWORD,
    CONFIG_USER_NAME,
    CONFIG_POLICY_NAME, // title only: connect, image or cookie
    CONFIG_CLIENT,      // title only: a block or a user's name
    CONFIG_KINDS,
    CONFIG_UNTITLED = CONFIG_KINDS // title only: the section has none
};

struct config_option {
    const char *name;
    enum config_kind kind;
    bool is_list;
    bool is_required;           // a section without it is an error
    size_t offset;              // of the member, in struct config or in the section's record
    uint64_t least, most;       // CONFIG_COUNT: as they are; CONFIG_DURATION: in ms
    const char *unit;           // CONFIG_COUNT: of what
    const char *const *choices; // CONFIG_CHOICE: ended by NULL
    const char *standard;       // the default, a list's parted by ", "; NULL: unset or empty
    const char *standard_words; // where the default is no plain value: what happens when unset
    const char *heading;        // first of a group: what the group is about
    const char *meaning;        // one or more whole sentences
    const char *example;        // a value worth showing, as it is written; NULL: the default
};

struct config_section {
    const char *name; // NULL: the top level
    enum config_kind title_kind;
    const char *title_words; // what the title stands for: NAME, PATTERN; CONFIG_UNTITLED: NULL
    size_t record_size;      // its title, a struct span, stands first (policies: no title)
    size_t records_offset;   // in struct config: pointer to the records; policies: unused;
                             // CONFIG_UNTITLED: the one record itself
    size_t count_offset;     // in struct config: size_t; CONFIG_UNTITLED: unused
    const struct config_option *options;
    size_t option_count;
    const char *meaning;
    const char *example; // a whole section, as it is shown
};

enum { CONFIG_SECTIONS = 8 }; // the top level is the first
const struct config_section *config_sections(void);

/* The three policies: the title of `policy`, and where its record is in struct config. */
struct config_policy_place {
    const char *title;
    size_t offset;
};
enum { CONFIG_POLICIES = 3 };
const struct config_policy_place *config_policies(void);

/* What a value of this kind is, for a mistake: "a duration such as 300ms, 10s, 5m, 1h or 2d"; and
 * in short, for one ("duration") and for the entries of a list ("ports and ranges of ports"). */
struct config_words {
    const char *expected, *one, *many;
};
const struct config_words *config_kind_words(enum config_kind kind);
/* The range of a count or duration as "1 to 65535", "1ms to 10m"; returns `to`. */
enum { CONFIG_RANGE_BYTES = 64 };
const char *config_write_range(const struct config_option *option, char *to);

#endif
