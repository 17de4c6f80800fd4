import testing from './testing.cjs'

export const { addressOf, memoryBroker, receive, withBroker } = testing
export default testing
