#include "admin/processes.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    STAT_BYTES = 1024,
    CHILDREN_BYTES = 8 * PROCESSES_MOST,
    // columns of stat, from 1 (proc(5)); the second, in parentheses, may have blanks in it
    USER_TIME = 14,
    SYSTEM_TIME = 15,
    VIRTUAL_SIZE = 23,
    RESIDENT_PAGES = 24,
};

static struct span read_text(const char *path, char *to, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, to, size) : -1;

    if (fd >= 0)
        close(fd);
    return span_of(to, got > 0 ? (size_t)got : 0);
}

bool processes_add_stat(struct overview_processes *to, struct span stat, uint64_t ticks_per_s,
                        uint64_t page_bytes)
{
    uint64_t values[RESIDENT_PAGES + 1] = { 0 };
    size_t at = stat.size;

    while (at > 0 && stat.at[at - 1] != ')')
        at--;
    if (at == 0)
        return false;
    stat = span_trim(span_from(stat, at));
    for (size_t column = 3; column <= RESIDENT_PAGES; column++) {
        size_t blank = span_find_byte(stat, ' ');

        if (blank == 0 || stat.size == 0)
            return false;
        if (!span_to_u64(span_slice(stat, 0, blank), &values[column]))
            values[column] = 0; // a letter, or a negative number: none of ours
        stat = span_from(stat, blank < stat.size ? blank + 1 : blank);
    }
    to->cpu_ms += (values[USER_TIME] + values[SYSTEM_TIME]) * 1000 / ticks_per_s;
    to->virtual_bytes += values[VIRTUAL_SIZE];
    to->resident_bytes += values[RESIDENT_PAGES] * page_bytes;
    to->count++;
    return true;
}

static uint64_t count_descriptors(int pid)
{
    char path[64];
    uint64_t count = 0;
    DIR *directory;

    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    directory = opendir(path);
    if (!directory)
        return 0;
    for (const struct dirent *entry = readdir(directory); entry; entry = readdir(directory))
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

static void add_process(struct overview_processes *out, int pid)
{
    char path[64], text[STAT_BYTES];

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if (processes_add_stat(out, read_text(path, text, sizeof text), (uint64_t)sysconf(_SC_CLK_TCK),
                           (uint64_t)sysconf(_SC_PAGESIZE)))
        out->open_descriptors += count_descriptors(pid);
}

void processes_read(struct overview_processes *out, int first)
{
    char path[64], text[CHILDREN_BYTES];
    struct span children;
    struct rlimit limit;

    *out = (struct overview_processes){ .count = 0 };
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        out->descriptor_limit = limit.rlim_cur;
    add_process(out, first);
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", first, first);
    children = read_text(path, text, sizeof text);
    for (size_t i = 0; i < PROCESSES_MOST && children.size > 0; i++) {
        size_t blank = span_find_byte(children, ' ');
        uint64_t pid;

        if (blank == children.size)
            break; // cut off by the end of our room
        if (span_to_u64(span_slice(children, 0, blank), &pid) && pid < INT32_MAX)
            add_process(out, (int)pid);
        children = span_from(children, blank + 1);
    }
}
