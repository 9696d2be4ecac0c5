// Butcher tableaux of the explicit Runge–Kutta methods. Hairer, Nørsett & Wanner, "Solving Ordinary Differential Equations I".

export interface Tableau {
  /** Times of the stages, as parts of the step. */
  readonly nodes: readonly number[]
  /** Row i: weights of the stages before i. */
  readonly stages: readonly (readonly number[])[]
  /** Weights of the stages in the result. */
  readonly weights: readonly number[]
  /** Result minus the embedded one of lower order: the local error. */
  readonly error?: readonly number[]
}

export const EULER: Tableau = { nodes: [0], stages: [[]], weights: [1] }

export const MIDPOINT: Tableau = { nodes: [0, 1 / 2], stages: [[], [1 / 2]], weights: [0, 1] }

export const HEUN: Tableau = { nodes: [0, 1], stages: [[], [1]], weights: [1 / 2, 1 / 2] }

/** The classical Runge–Kutta method. */
export const RK4: Tableau = {
  nodes: [0, 1 / 2, 1 / 2, 1],
  stages: [[], [1 / 2], [0, 1 / 2], [0, 0, 1]],
  weights: [1 / 6, 1 / 3, 1 / 3, 1 / 6],
}

/** The 3/8 rule, which some libraries call RK4. */
export const RK4_38: Tableau = {
  nodes: [0, 1 / 3, 2 / 3, 1],
  stages: [[], [1 / 3], [-1 / 3, 1], [1, -1, 1]],
  weights: [1 / 8, 3 / 8, 3 / 8, 1 / 8],
}

/** Dormand & Prince 5(4); the last stage is the first of the next step. */
export const DOPRI5: Tableau = {
  nodes: [0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1],
  stages: [
    [],
    [1 / 5],
    [3 / 40, 9 / 40],
    [44 / 45, -56 / 15, 32 / 9],
    [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
    [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
    [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
  ],
  weights: [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0],
  error: [71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40],
}
