// The axes of a file that may point up; apart, so that the command line need not load what draws.

export const UP_AXES = ['x', 'y', 'z', '-x', '-y', '-z'] as const
export type UpAxis = (typeof UP_AXES)[number]
